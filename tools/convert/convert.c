/* SPDX-License-Identifier: MIT */
/* batchnorm convert: a state in the names and meanings of another framework. */
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "tools/shared/clean.h"
#include "tools/shared/messages.h"

static bool refuse_none(struct conversion *c, const struct convention *asked) {
    const char *pattern = asked ? spelling_of(&asked->spelled[0], ROLE_VAR) : "";
    return state_fail(&c->state,
                      asked ? "has no batch norm of %.40s, whose running variance would be \"%.60s\""
                            : "has no batch norm: no tensor has the name of a running variance in any framework%s%s",
                      asked ? asked->name : "", pattern);
}

/* Whose batch norms these are: as the command line says, as the file says, or as they are spelled. */
static bool recognize(struct conversion *c) {
    const struct convert_request *r = c->request;
    const struct convention *asked = r->has_from ? &conventions[r->from] : NULL, *format = norms_format(c->state.file);
    const char *text = metadata_told(c->state.file->file, KEY_CONVENTION, NULL);
    const struct convention *told = text ? convention_find(text) : NULL;
    if (format && asked && asked != format)
        return state_fail(&c->state, "--from %.40s: it is a file of %.40s", asked->name, format->name);
    if (text && !told && !asked)
        return state_fail(
            &c->state, "the metadata has " KEY_CONVENTION " '%.40s', which is not known: --from says what it is%s", text, "");
    if (!norms_find(&c->state, format ? &conventions[CONVENTION_PYTORCH] : asked, told, &c->norms)) return false;
    if (!norms_check(&c->state, &c->norms)) return false;
    c->has_format = format != NULL;
    c->from = c->norms.count && format ? format : c->norms.convention;
    if (c->from) c->is_unbiased = c->was_unbiased = c->from->is_unbiased;
    return c->from || !(r->has_from || r->has_to || r->count_count || r->has_fix_gamma) || refuse_none(c, asked);
}

/* What the file tells of its running variances. */
static bool read_variance(struct conversion *c) {
    const char *text = metadata_told(c->state.file->file, KEY_VARIANCE, NULL);
    if (!text || !c->from) return true;
    c->is_unbiased = c->was_unbiased = strcmp(text, "unbiased") == 0;
    return c->is_unbiased || strcmp(text, "biased") == 0 ||
           state_fail(&c->state, "the metadata has " KEY_VARIANCE " '%.40s', which is neither biased nor unbiased%s", text, "");
}

static bool convert(struct conversion *c) {
    const struct convert_request *r = c->request;
    if (!recognize(c) || !read_variance(c)) return false;
    if (r->has_fix_gamma && !c->from->can_fix_gamma)
        return state_fail(&c->state, "--fix-gamma is for batch norms of mxnet, and these are of %.40s%s", c->from->name, "");
    return (!c->from || conversion_numbers(c)) && conversion_told(c) && conversion_layout(c);
}

static int convert_state(const struct convert_request *r, const struct model_file *file) {
    struct conversion c = {.request = r, .state = {.file = file}, .to = &conventions[r->to]};
    /* a batch norm brings five tensors at most: three arrays and a number of batches */
    const bool is_made = state_read(&c.state, 5 * batchnorm_model_tensor_count(file->model)) && convert(&c);
    const bool ok = is_made && state_write(&c.state, r->output, c.metadata.at, c.metadata.count);
    size_t channels = 0;
    for (size_t i = 0; i < c.norms.count; i++) channels += c.norms.at[i].channels;
    if (ok) conversion_print(&c, channels);
    const int code =
        ok ? EXIT_DONE : report(EXIT_FAILED, "%s: %s", is_made ? r->output : input_name(r->files.at[0]), c.state.message);
    norms_free(&c.norms);
    metadata_free(&c.metadata);
    state_free(&c.state);
    return code;
}

int cmd_convert(int argc, char **argv) {
    struct convert_request request;
    struct model_file file;
    char message[BATCHNORM_MODEL_MESSAGE];
    convert_options.defaults(&request);
    options_parse(&convert_options, argc, argv, &request);
    const batchnorm_model_options options = {.size = sizeof options, .cfg = request.cfg};
    int code;
    if (!model_file_open(&file, request.files.at[0], &options, message))
        code = report(EXIT_FAILED, "%s: %s", input_name(request.files.at[0]), message);
    else if (batchnorm_model_get_format(file.model) == BATCHNORM_MODEL_ONNX)
        code = report(EXIT_FAILED, "%s: has its batch norms in a graph: a state is needed, as .pth or safetensors",
                      input_name(request.files.at[0]));
    else if (model_file_is(&file, request.output))
        code = report(EXIT_FAILED, "%s: it is the state that is read; it must go into another file", request.output);
    else
        code = convert_state(&request, &file);
    model_file_close(&file);
    for (int i = 0; i < request.count_count; i++) free(request.counts[i].layers);
    return code;
}
