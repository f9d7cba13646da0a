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

static bool write_all(struct files *files) {
    struct output *o = files->outputs;
    return outputs_check(o, FILES) == EXIT_DONE && outputs_write(o, FILES) && outputs_commit(o, FILES);
}

bool saving_write(const struct report *r, bool page, bool draw) {
    static struct files files;
    char *csv = metrics_csv(r->metrics), *json = report_json(r), *html = NULL;
    bool ok = name_files(&files, r->request->out) == EXIT_DONE;
    if (ok && (!csv || (!json && report_has_json()))) {
        report(EXIT_FAILED, "no memory for the files");
        ok = false;
    }
    if (ok && page) ok = (html = report_html(r, draw));
    if (ok) {
        files.outputs[CSV].text = csv;
        files.outputs[JSON].text = json;
        files.outputs[PAGE].text = html;
        if (!json) files.outputs[JSON].argument = NULL;
        if (!html) files.outputs[PAGE].argument = NULL;
        ok = write_all(&files);
        outputs_free(files.outputs, FILES);
    }
    free(csv);
    free(json);
    free(html);
    return ok;
}
