/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "saving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/shared/messages.h"
#include "tools/shared/outputs.h"

enum { CSV, JSON, PAGE, FILES, PATH_ROOM = 4096 };

struct files {
    char paths[FILES][PATH_ROOM];
    struct output outputs[FILES];
};

static int name_files(struct files *files, const char *directory) {
    static const char *const names[FILES] = {"metrics.csv", "metrics.json", "report.html"};
    for (int i = 0; i < FILES; i++) {
        const int length = snprintf(files->paths[i], PATH_ROOM, "%s/%s", directory, names[i]);
        if (length < 0 || length >= PATH_ROOM) return report(EXIT_FAILED, "%s: the name is too long", directory);
        files->outputs[i] = (struct output){.option = "--out", .argument = files->paths[i], .whole_file = true};
    }
    return EXIT_DONE;
}

int saving_prepare(const char *directory) {
    static struct files files;
    struct stat status;
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return report(EXIT_FAILED, "%s: cannot be created: %s", directory, strerror(errno));
    if (stat(directory, &status) != 0 || !S_ISDIR(status.st_mode))
        return report(EXIT_FAILED, "%s: is not a directory; give another one with --out", directory);
    if (access(directory, W_OK | X_OK) != 0)
        return report(EXIT_FAILED, "%s: cannot be written: %s", directory, strerror(errno));
    int code = name_files(&files, directory);
    if (code == EXIT_DONE) code = outputs_check(files.outputs, FILES);
    outputs_free(files.outputs, FILES);
    return code;
}

static bool write_files(const struct report *r, const char *csv, const char *json, const char *html) {
    static struct files files;
    const char *const texts[FILES] = {[CSV] = csv, [JSON] = json, [PAGE] = html};
    if (name_files(&files, r->request->out) != EXIT_DONE) return false;
    for (int i = 0; i < FILES; i++) {
        files.outputs[i].text = texts[i];
        if (!texts[i]) files.outputs[i].argument = NULL; /* no JSON library */
    }
    struct output *o = files.outputs;
    const bool ok = outputs_check(o, FILES) == EXIT_DONE && outputs_write(o, FILES) && outputs_commit(o, FILES);
    outputs_free(o, FILES);
    return ok;
}

/* First with a page without figures: what happens while they are drawn must not cost the numbers, and the files of one run must
 * not stand beside those of another. */
bool saving_write(const struct report *r, bool *draw) {
    char *csv = metrics_csv(r->metrics, r->run), *json = report_json(r), *html = NULL;
    bool ok = csv && (json || !report_has_json());
    if (!ok) report(EXIT_FAILED, "no memory for the files");
    if (ok) ok = (html = report_html(r, false));
    if (ok) ok = write_files(r, csv, json, html);
    if (ok && *draw) {
        free(html);
        html = report_html(r, true);
        *draw = html != NULL;
        if (html)
            ok = write_files(r, csv, json, html);
        else
            report(EXIT_FAILED, "the report has the numbers of its figures only");
    }
    free(csv);
    free(json);
    free(html);
    return ok;
}
