/* SPDX-License-Identifier: MIT */
/* Golden vectors from PyTorch: every case of golden/vectors.txt is a test. golden/make_golden.py made the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"
#include "tests/support/test.h"

enum { CASES_MIN = 400 }; /* so that a file that lost its cases is noticed */

struct golden_case {
    char *name;
    char **lines;
    size_t count;
    int first; /* its line in the file */
};

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) return NULL;
    size_t size = (size_t)ftell(file);
    char *text = calloc(size + 1, 1);
    rewind(file);
    bool whole = text && fread(text, 1, size, file) == size;
    fclose(file);
    return whole ? text : NULL;
}

/* Cuts the text into lines and the lines into cases, in place. */
static size_t split(char *text, char **lines, struct golden_case *cases) {
    size_t count = 0;
    int number = 0;
    for (char *line = text, *next; line && *line; line = next, number++) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        if (strncmp(line, "case ", 5) == 0) {
            cases[count++] = (struct golden_case){.name = line + 5, .lines = lines + number + 1, .first = number + 2};
        } else if (count) {
            cases[count - 1].count++;
        }
        lines[number] = line;
    }
    return count;
}

TEST(replay_case) {
    const struct golden_case *c = *state;
    struct replay r = {0};
    size_t i = 0;
    while (i < c->count && replay_line(&r, c->lines[i])) i++;
    char error[sizeof r.error];
    memcpy(error, r.error, sizeof error);
    replay_end(&r);
    if (i < c->count) fail_msg("vectors.txt:%d: %s", c->first + (int)i, error);
}

int main(int argc, char **argv) {
    char *text = read_file(argc > 1 ? argv[1] : "golden/vectors.txt");
    if (!text) {
        fprintf(stderr, "golden/vectors.txt cannot be read; run the test in the directory tests/, or give its path\n");
        return 1;
    }
    size_t room = 1;
    for (const char *at = text; (at = strchr(at, '\n')); at++) room++;
    char **lines = calloc(room, sizeof *lines);
    struct golden_case *cases = calloc(room, sizeof *cases);
    size_t count = split(text, lines, cases);
    struct CMUnitTest *tests = calloc(count + 1, sizeof *tests);
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = replay_case, .initial_state = &cases[i]};
    int failed = _cmocka_run_group_tests("api.golden", tests, count, NULL, NULL);
    if (count < CASES_MIN) fprintf(stderr, "vectors.txt has %zu cases, expected at least %d\n", count, CASES_MIN);
    free(tests);
    free(cases);
    free(lines);
    free(text);
    return failed || count < CASES_MIN;
}
