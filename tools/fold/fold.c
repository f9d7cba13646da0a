/* SPDX-License-Identifier: MIT */
/* batchnorm fold: models without batch norms. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "request.h"
#include "state.h"
#include "tools/shared/clean.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"
#include "tools/shared/model_file.h"
#include "verify.h"

/* Words of outcomes: what a batch norm did, and in JSON. */
static const struct {
    const char *words, *key;
} outcomes[] = {[BATCHNORM_FOLD_LEFT] = {"left", "left"},
                [BATCHNORM_FOLD_BEFORE] = {"into", "before"},
                [BATCHNORM_FOLD_AFTER] = {"into", "after"},
                [BATCHNORM_FOLD_NORM] = {"joined", "norm"},
                [BATCHNORM_FOLD_PARTS] = {"into what is joined by", "parts"},
                [BATCHNORM_FOLD_MUL_ADD] = {"became a Mul and an Add", "mul_add"},
                [BATCHNORM_FOLD_ADD] = {"became an Add; its scale into", "scale_only"}};

static void print_norm(const batchnorm_model_norm *n) {
    print_clean(stdout, n->name);
    printf(": %s", outcomes[n->outcome].words);
    if (n->target) putchar(' ');
    if (n->target) print_clean(stdout, n->target);
    if (n->why) printf(": ");
    if (n->why) print_clean(stdout, n->why);
    if (n->note) printf("; %s", n->note);
    putchar('\n');
}

static void print_norms_json(const batchnorm_model *model) {
    printf(", \"batch_norms\": [");
    for (size_t i = 0; i < batchnorm_model_norm_count(model); i++) {
        const batchnorm_model_norm *n = batchnorm_model_norm_at(model, i);
        printf(i ? ", {\"name\": " : "{\"name\": ");
        print_json_text(n->name);
        printf(", \"fold\": \"%s\"", outcomes[n->outcome].key);
        if (n->target) printf(", \"target\": ");
        if (n->target) print_json_text(n->target);
        if (n->why) printf(", \"why\": ");
        if (n->why) print_json_text(n->why);
        if (n->note) printf(", \"note\": ");
        if (n->note) print_json_text(n->note);
        putchar('}');
    }
    putchar(']');
}

static size_t count_left(const batchnorm_model *model) {
    size_t left = 0;
    for (size_t i = 0; i < batchnorm_model_norm_count(model); i++)
        left += batchnorm_model_norm_at(model, i)->outcome == BATCHNORM_FOLD_LEFT;
    return left;
}

static void print_result(const struct fold_request *r, const batchnorm_model *model, const batchnorm_fold_counts *counts,
                         const struct verdict *verdict) {
    const size_t all = batchnorm_model_norm_count(model), left = count_left(model);
    if (r->json) {
        printf("{\"model\": ");
        print_json_text(r->models.at[0]);
        printf(", \"output\": ");
        print_json_text(r->output);
        printf(", \"count\": %zu, \"left\": %zu, \"tensors\": %zu, \"flushed\": %zu, \"bytes\": %" PRIu64, all, left,
               counts->tensors, counts->flushed, counts->bytes);
        print_norms_json(model);
        verdict_print_json(verdict);
        printf("}\n");
        return;
    }
    for (size_t i = 0; i < all && r->explain; i++) print_norm(batchnorm_model_norm_at(model, i));
    print_clean(stdout, r->output);
    printf(": %zu of %zu batch norms are folded", all - left, all);
    if (counts->flushed) printf("; %zu numbers would have been subnormal and are 0", counts->flushed);
    putchar('\n');
    verdict_print(verdict);
}

static int fold_model(const struct fold_request *r, const struct model_file *file) {
    char message[BATCHNORM_MODEL_MESSAGE];
    batchnorm_fold_counts counts = {.size = sizeof counts};
    struct verdict verdict = {.kind = VERDICT_NONE};
    if (r->pair_count || r->has_eps)
        return report_usage("%s: --pair and --eps are for states; an ONNX model tells both", input_name(r->models.at[0]));
    if (batchnorm_model_fold(file->model, r->output, &counts, message))
        return report(EXIT_FAILED, "%s: %s", r->output, message);
    if (r->verify) verify(r, file, &verdict);
    print_result(r, file->model, &counts, &verdict);
    verdict_report(&verdict, r->output);
    return verdict.failed || (r->require_all && count_left(file->model)) ? EXIT_FAILED : EXIT_DONE;
}

int cmd_fold(int argc, char **argv) {
    struct fold_request request;
    struct model_file file;
    char message[BATCHNORM_MODEL_MESSAGE];
    fold_options.defaults(&request);
    options_parse(&fold_options, argc, argv, &request);
    const batchnorm_model_options options = {.size = sizeof options,
                                             .assume_constant = request.assume_constant,
                                             .follow_symlinks = request.follow_symlinks,
                                             .rewrite = request.rewrite};
    int code;
    if (!model_file_open(&file, request.models.at[0], &options, message))
        code = report(EXIT_FAILED, "%s: %s", input_name(request.models.at[0]), message);
    else if (batchnorm_model_get_format(file.model) == BATCHNORM_MODEL_ONNX)
        code = fold_model(&request, &file);
    else
        code = fold_state(&request, &file);
    model_file_close(&file);
    return code;
}
