/* SPDX-License-Identifier: MIT */
/* What an option is: one row of a verb's table, and the texts that come from it. */
#ifndef TOOLS_SHARED_OPTION_ROW_H
#define TOOLS_SHARED_OPTION_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_ON,    /* takes no value: 1 */
    OPTION_OFF,   /* takes no value: 0 */
    OPTION_TEXT,  /* const char * */
    OPTION_WORD,  /* one of `words`: an int or an enum, `first` plus the index of the word */
    OPTION_WORDS, /* one or more of them with commas, or `all`: an unsigned, to which bit i is added for word i */
    OPTION_WHOLE, /* a whole number in `limits`, or of `words` where there are some: any integer type */
    OPTION_REAL,  /* a number in `range`: float or double */
    OPTION_OWN    /* what `parse` takes */
};

/* For OPTION_OWN: NULL, or what is wrong with the text, as the end of the sentence "--NAME: 'TEXT' ..."; "" stands for "is not"
 * and the words. */
typedef const char *option_function(const char *text, void *request);

struct option_row {
    const char *name; /* "save-every"; NULL: a heading, "" for none, before the group of rows that follows */
    char letter;      /* 'o' for -o; 0: none */
    enum option_kind kind;
    size_t offset, bytes;     /* where it goes in the request: OPTION_AT(type, member) */
    size_t given;             /* the offset of a bool that is set, too; 0: none */
    const char *value;        /* what help calls the value; NULL: the words */
    const char *const *words; /* NULL at their end */
    int first;
    const char *all;
    struct {
        int64_t least, most;
    } limits;
    struct {
        double least, most; /* most 0: no limit */
        bool above, below;  /* least (most) itself is not in it */
        bool any;           /* no limit at all */
    } range;
    option_function *parse;
    const char *usual; /* the default as text; NULL: as it is in the request, if it is a value that could be given */
    const char *help;  /* one sentence without its period, for --help and the manual */
    const char *more;  /* further sentences for the manual alone, in scdoc's format */
};

#define OPTION_AT(type, member) .offset = offsetof(type, member), .bytes = sizeof(((type *)0)->member)

/* What every verb that computes with nn has: {OPTION_THREADS, AT(threads)}. */
#define OPTION_THREADS                                                                                                         \
    .name = "threads", .kind = OPTION_WHOLE, .value = "N", .limits = {1, 1024}, .usual = "as many as there are cores",         \
    .help = "Threads"

/* What every verb that runs models has: {OPTION_RUNTIME, AT(runtime)}. */
#define OPTION_RUNTIME                                                                                                         \
    .name = "runtime", .kind = OPTION_TEXT, .value = "PATH", .usual = "looked for",                                            \
    .help = "ONNX Runtime's library, or the folder that it is in"

/* Arguments that are no options, in the request of a verb that takes some. */
struct option_arguments {
    char **at;
    int count;
};

struct option_table {
    const struct option_row *rows;
    size_t count;
    size_t request_bytes;
    void (*defaults)(void *request);
    const char *arguments; /* as in the usage line: "X"; NULL: none are taken */
    size_t arguments_at;   /* the offset of a struct option_arguments */
    const char *does;      /* what the verb does, in a sentence */
    const char *more;      /* what --help says after the options; NULL: nothing */
    /* What must hold between options: NULL, or what is wrong, which may be in `message`. */
    const char *(*check)(void *request, char *message);
};

bool option_in_range(const struct option_row *row, double value);

/* What a value must be: "a number above 0", "relu, sigmoid or tanh"; into `text`, OPTION_MESSAGE_BYTES long. */
enum { OPTION_MESSAGE_BYTES = 1024 };
const char *option_right(const struct option_row *row, char *text);

/* Texts, to be freed; NULL without memory. */
char *option_value(const struct option_row *row);                         /* "relu|sigmoid|tanh"; NULL if it takes none */
char *option_limits(const struct option_row *row);                        /* "1 to 4096"; "" if there is nothing to tell */
char *option_default(const struct option_row *row, const void *defaults); /* "128"; likewise */

#endif
