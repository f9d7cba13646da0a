/* SPDX-License-Identifier: MIT */
#include "explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"

/* Values are numbers, or words without a quote in them. */
static void print_value(const char *value) {
    const bool number = value[strspn(value, "0123456789")] == '\0';
    if (number)
        printf("%s", value);
    else
        print_json_text(value);
}

/* The lines of a text, indented, or as members of an object. */
static void print_lines(char *text, bool json) {
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *value = strstr(line, ": ");
        if (!json || !value) {
            printf("    %s\n", line);
            continue;
        }
        *value = '\0';
        printf(", \"%s\": ", line);
        print_value(value + 2);
    }
}

static bool explain_case(const struct bench_case *c, bool json) {
    char name[BENCH_CASE_TEXT_BYTES];
    const size_t length = bench_job_explain(c, NULL, 0);
    char *text = malloc(length + 1);
    if (!text) return false;
    text[0] = '\0';
    bench_job_explain(c, text, length + 1);
    bench_case_text(c, name);
    if (json) {
        printf("{\"case\": ");
        print_json_text(name);
    } else {
        printf("%s\n", name);
    }
    print_lines(text, json);
    if (json) printf("}\n");
    free(text);
    return true;
}

bool bench_explain(const struct bench_request *request) {
    size_t count;
    struct bench_case *cases = bench_request_cases(request, &count);
    bool ok = cases != NULL;
    for (size_t i = 0; i < count && ok; i++) ok = explain_case(&cases[i], request->json);
    if (!ok) report(EXIT_FAILED, "no memory for %zu cases", count);
    free(cases);
    return ok;
}
