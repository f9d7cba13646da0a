/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* argp, asprintf */
#include "options.h"

#include <argp.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clean.h"
#include "messages.h"
#include "numbers.h"

/* Keys of rows without a letter: FIRST_KEY plus their index. Smaller ones are letters. */
enum { FIRST_KEY = 256 };

/* What argp carries along. */
struct parsing {
    const struct option_table *table;
    void *request;
};

int option_word_index(const char *const *words, const char *word, size_t length) {
    for (int i = 0; words[i]; i++)
        if (strlen(words[i]) == length && memcmp(words[i], word, length) == 0) return i;
    return -1;
}

bool option_next_word(const char **text, const char *separators, char word[OPTION_WORD_BYTES]) {
    if (!*text) return false;
    const size_t length = strcspn(*text, separators), most = OPTION_WORD_BYTES - 1, kept = length < most ? length : most;
    memcpy(word, *text, kept);
    word[kept] = '\0';
    *text = (*text)[length] ? *text + length + 1 : NULL;
    return true;
}

/* An integer into one of any size. */
static void put(const struct option_row *row, void *request, int64_t value) {
    char *to = (char *)request + row->offset;
    if (row->bytes == sizeof(bool)) {
        *(bool *)to = value != 0;
    } else if (row->bytes == sizeof(int32_t)) {
        const int32_t narrow = (int32_t)value;
        memcpy(to, &narrow, sizeof narrow);
    } else {
        memcpy(to, &value, sizeof value);
    }
}

/* false: a word is wrong, and *text begins with it, *length long. */
static bool parse_words(const struct option_row *row, const char **text, size_t *length, void *request) {
    unsigned bits = 0, count = 0;
    while (row->words[count]) count++;
    for (;; ++*text) {
        *length = strcspn(*text, ",");
        const int found = option_word_index(row->words, *text, *length);
        if (found >= 0)
            bits |= 1u << found;
        else if (row->all && strlen(row->all) == *length && memcmp(row->all, *text, *length) == 0)
            bits |= (1u << count) - 1;
        else
            return false;
        *text += *length;
        if (**text == '\0') break;
    }
    *(unsigned *)((char *)request + row->offset) |= bits;
    return true;
}

static bool parse_word(const struct option_row *row, const char *text, void *request) {
    const int found = option_word_index(row->words, text, strlen(text));
    if (found >= 0) put(row, request, row->first + found);
    return found >= 0;
}

static bool parse_whole(const struct option_row *row, const char *text, void *request) {
    int64_t value;
    const int64_t least = row->words ? INT32_MIN : row->limits.least, most = row->words ? INT32_MAX : row->limits.most;
    char plain[24]; /* as the words are written: without a plus or zeros before it */
    if (!parse_integer(text, least, most, &value)) return false;
    snprintf(plain, sizeof plain, "%" PRId64, value);
    if (row->words && option_word_index(row->words, plain, strlen(plain)) < 0) return false;
    put(row, request, value);
    return true;
}

static bool parse_number(const struct option_row *row, const char *text, void *request) {
    double value;
    if (!parse_real(text, &value)) return false;
    if (row->bytes == sizeof(float)) value = (double)(float)value; /* the range is that of the number which is kept */
    if (!isfinite(value) || !option_in_range(row, value)) return false;
    if (row->bytes == sizeof(float))
        *(float *)((char *)request + row->offset) = (float)value;
    else
        *(double *)((char *)request + row->offset) = value;
    return true;
}

/* As argp_error, which does not return; what was typed stands in the message. */
static void __attribute__((format(printf, 2, 3))) wrong_usage(struct argp_state *state, const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) text = NULL;
    va_end(arguments);
    if (text) clean_text(text);
    argp_error(state, "%s", text ? text : format);
    free(text);
}

static error_t set(const struct option_row *row, const char *text, struct argp_state *state, void *request) {
    const char *wrong = NULL, *word = text;
    size_t length = text ? strlen(text) : 0;
    bool fits = true;
    switch (row->kind) {
    case OPTION_ON:
    case OPTION_OFF:
        put(row, request, row->kind == OPTION_ON);
        break;
    case OPTION_TEXT:
        *(const char **)((char *)request + row->offset) = text;
        break;
    case OPTION_WORD:
        fits = parse_word(row, text, request);
        break;
    case OPTION_WORDS:
        fits = parse_words(row, &word, &length, request);
        break;
    case OPTION_WHOLE:
        fits = parse_whole(row, text, request);
        break;
    case OPTION_REAL:
        fits = parse_number(row, text, request);
        break;
    case OPTION_OWN:
        wrong = row->parse(text, request);
        break;
    }
    if (wrong && !*wrong) fits = false;
    char right[OPTION_MESSAGE_BYTES];
    if (!fits && length < strlen(text))
        wrong_usage(state, "--%s: '%.*s' in '%s' is not %s", row->name, (int)length, word, text, option_right(row, right));
    if (!fits) wrong_usage(state, "--%s: '%s' is not %s", row->name, text, option_right(row, right));
    if (wrong) wrong_usage(state, "--%s: '%s' %s", row->name, text, wrong);
    if (row->given) *(bool *)((char *)request + row->given) = true;
    return 0;
}

static error_t take_arguments(const struct option_table *table, struct argp_state *state, void *request) {
    struct option_arguments *to = (struct option_arguments *)((char *)request + table->arguments_at);
    to->at = state->argv + state->next;
    to->count = state->argc - state->next;
    return 0;
}

static error_t take(int key, char *text, struct argp_state *state) {
    const struct parsing *parsing = state->input;
    const struct option_table *table = parsing->table;
    char message[OPTION_MESSAGE_BYTES];
    const char *wrong;
    switch (key) {
    case ARGP_KEY_ARG:
        if (table->arguments) return ARGP_ERR_UNKNOWN; /* all of them together come as ARGP_KEY_ARGS */
        wrong_usage(state, "'%s' is not an option; %s takes no files", text, strchr(state->name, ' ') + 1);
        return 0;
    case ARGP_KEY_ARGS:
        return take_arguments(table, state, parsing->request);
    case ARGP_KEY_END:
        wrong = table->check ? table->check(parsing->request, message) : NULL;
        if (wrong) wrong_usage(state, "%s", wrong);
        return 0;
    default:
        for (size_t i = 0; i < table->count && key > 0; i++)
            if (table->rows[i].name && (key == FIRST_KEY + (int)i || key == table->rows[i].letter))
                return set(&table->rows[i], text, state, parsing->request);
        return ARGP_ERR_UNKNOWN;
    }
}

/* "Images per step (1 to 4096; default 128)", allocated. */
static char *help_of(const struct option_row *row, const void *defaults) {
    char *limits = option_limits(row), *usual = option_default(row, defaults), *text = NULL;
    const bool limited = limits && *limits, has_default = usual && *usual;
    if (asprintf(&text, "%s%s%s%s%s%s%s", row->help, limited || has_default ? " (" : "", limited ? limits : "",
                 limited && has_default ? "; " : "", has_default ? "default " : "", has_default ? usual : "",
                 limited || has_default ? ")" : "") < 0)
        text = NULL;
    free(limits);
    free(usual);
    return text;
}

/* What argp wants to know of each row. Its texts are allocated. */
static struct argp_option *list_options(const struct option_table *table, const void *defaults) {
    struct argp_option *list = calloc(table->count + 1, sizeof *list);
    int group = 0;
    size_t used = 0;
    for (size_t i = 0; i < table->count && list; i++) {
        const struct option_row *row = &table->rows[i];
        if (!row->name) {
            group++;
            if (*row->help) list[used++] = (struct argp_option){.doc = strdup(row->help), .group = group};
            continue;
        }
        list[used++] = (struct argp_option){.name = row->name,
                                            .key = row->letter ? row->letter : FIRST_KEY + (int)i,
                                            .arg = option_value(row),
                                            .doc = help_of(row, defaults),
                                            .group = group};
    }
    return list;
}

static void free_options(struct argp_option *list) {
    for (struct argp_option *o = list; o && (o->name || o->doc); o++) {
        free((char *)o->arg);
        free((char *)o->doc);
    }
    free(list);
}

/* getopt prints what it does not know as it is; no option has a character that moves the cursor. */
static void refuse_control_characters(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *c = argv[i];
        while (*c && *c != '=' && (unsigned char)*c >= 0x20 && *c != 0x7f) c++;
        if (argv[i][0] == '-' && argv[i][1] == '-' && *c && *c != '=') exit(report_usage("unrecognized option '%s'", argv[i]));
    }
}

void options_parse(const struct option_table *table, int argc, char **argv, void *request) {
    struct parsing parsing = {table, request};
    void *defaults = calloc(1, table->request_bytes);
    if (defaults) table->defaults(defaults);
    struct argp_option *list = defaults ? list_options(table, defaults) : NULL;
    char *doc = NULL;
    if (asprintf(&doc, "%s.\v%s%sExit status: 0 success, 1 failure, 2 wrong usage.", table->does,
                 table->more ? table->more : "", table->more ? "\n\n" : "") < 0)
        doc = NULL;
    const struct argp argp = {list, take, table->arguments, doc, NULL, NULL, NULL};
    refuse_control_characters(argc, argv);
    argp_parse(&argp, argc, argv, 0, NULL, &parsing);
    free_options(list);
    free(defaults);
    free(doc);
}
