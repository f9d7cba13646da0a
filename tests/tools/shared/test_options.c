/* SPDX-License-Identifier: MIT */
/* Tables of options: every kind goes where its row says, a value that does not fit ends the program with a sentence, and the
 * texts of help say what the table says. */
#define _GNU_SOURCE /* argp, memfd_create */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/test.h"
#include "tools/shared/options.h"

static const char *const colours[] = {"red", "green", "blue", NULL};
static const char *const depths[] = {"8", "14", "20", NULL};

struct request {
    bool on, off, was_given;
    const char *text;
    int colour;
    unsigned colours;
    size_t size;
    long number;
    uint64_t wide;
    unsigned narrow;
    int depth;
    float fraction;
    double rate, any;
    char own[16];
    struct option_arguments arguments;
};

#define AT(member) OPTION_AT(struct request, member)

static const char *take_own(const char *text, void *request) {
    if (strcmp(text, "no") == 0) return "is never taken";
    if (strcmp(text, "word") == 0) return "";
    snprintf(((struct request *)request)->own, 16, "%s", text);
    return NULL;
}

static const struct option_row rows[] = {
    {.help = "The first:"},
    {.name = "on", .letter = 'n', .kind = OPTION_ON, AT(on), .help = "Sets"},
    {.name = "off", .kind = OPTION_OFF, AT(off), .help = "Clears"},
    {.name = "text", .kind = OPTION_TEXT, AT(text), .value = "TEXT", .help = "Any text"},
    {.name = "colour", .kind = OPTION_WORD, AT(colour), .words = colours, .first = 7, .help = "One"},
    {.name = "colours", .kind = OPTION_WORDS, AT(colours), .words = colours, .all = "all", .value = "COLOUR", .help = "Many"},
    {.help = ""},
    {.name = "size", .kind = OPTION_WHOLE, AT(size), .value = "N", .limits = {1, 4096}, .help = "A size"},
    {.name = "number",
     .kind = OPTION_WHOLE,
     AT(number),
     .value = "N",
     .limits = {2, INT32_MAX},
     .given = offsetof(struct request, was_given),
     .help = "A number"},
    {.name = "wide", .kind = OPTION_WHOLE, AT(wide), .value = "N", .limits = {0, INT64_MAX}, .help = "A wide number"},
    {.name = "narrow", .kind = OPTION_WHOLE, AT(narrow), .value = "N", .limits = {0, 3000000000}, .help = "A narrow number"},
    {.name = "depth", .kind = OPTION_WHOLE, AT(depth), .words = depths, .help = "A depth"},
    {.name = "fraction",
     .kind = OPTION_REAL,
     AT(fraction),
     .value = "F",
     .range = {.most = 1, .below = true},
     .help = "A part"},
    {.name = "rate",
     .kind = OPTION_REAL,
     AT(rate),
     .value = "R",
     .range = {.above = true},
     .usual = "automatic",
     .help = "Speed"},
    {.name = "any", .kind = OPTION_REAL, AT(any), .value = "X", .range = {.any = true}, .help = "Anything"},
    {.name = "own", .kind = OPTION_OWN, .parse = take_own, .words = colours, .value = "O", .help = "Its own"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void set_defaults(void *request) {
    *(struct request *)request = (struct request){.off = true, .colour = 8, .size = 128, .depth = 14, .fraction = 0.5f};
}

static const char *check(void *request, char *message) {
    const struct request *r = request;
    if (!r->on || r->off) return NULL;
    snprintf(message, OPTION_MESSAGE_BYTES, "--on and --off exclude each other");
    return message;
}

static struct option_table table = {.rows = rows,
                                    .count = ROWS,
                                    .request_bytes = sizeof(struct request),
                                    .defaults = set_defaults,
                                    .does = "Does nothing",
                                    .more = "Nothing more.",
                                    .check = check};

enum { WORDS = 8 };

/* Splits at spaces; parses. */
static struct request parse(const char *line) {
    static char copy[256];
    static char *words[WORDS];
    int count = 0;
    struct request r;
    snprintf(copy, sizeof copy, "batchnorm_x %s", line);
    for (char *word = strtok(copy, " "); word && count < WORDS - 1; word = strtok(NULL, " ")) words[count++] = word;
    words[0] = "batchnorm test";
    words[count] = NULL;
    set_defaults(&r);
    options_parse(&table, count, words, &r);
    return r;
}

/* In a child: its status, and its stderr (or stdout) in `said`. */
static int run(const char *line, int stream, char *said, size_t bytes) {
    const int file = memfd_create("said", 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        dup2(file, stream);
        argp_err_exit_status = 2;
        parse(line);
        _exit(77);
    }
    int status;
    waitpid(child, &status, 0);
    const ssize_t length = pread(file, said, bytes - 1, 0);
    said[length < 0 ? 0 : length] = '\0';
    close(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The first line is exactly this. */
static void refuses(const char *line, const char *message) {
    char said[2048], first[600];
    const int status = run(line, STDERR_FILENO, said, sizeof said);
    said[strcspn(said, "\n")] = '\0';
    snprintf(first, sizeof first, "batchnorm test: %s", message);
    assert_string_equal(said, first);
    assert_int_equal(status, 2);
}

TEST(every_kind_goes_where_its_row_says) {
    struct request r = parse("");
    assert_true(!r.on && r.off && !r.was_given && r.colour == 8 && r.size == 128);
    assert_true(parse("--on").on && parse("-n").on && !parse("--off").off);
    assert_string_equal(parse("--text=word").text, "word");
    assert_int_equal(parse("--colour red").colour, 7);
    assert_int_equal(parse("--colour=blue").colour, 9);
    assert_int_equal(parse("--colours=blue,red").colours, 5);
    assert_int_equal(parse("--colours=all").colours, 7);
    assert_int_equal(parse("--colours=red --colours green").colours, 3);
    assert_int_equal(parse("--size 4096").size, 4096);
    assert_int_equal(parse("--size 1 --size 2").size, 2);
    r = parse("--number 2147483647");
    assert_true(r.number == 2147483647 && r.was_given);
    assert_true(parse("--wide 9223372036854775807").wide == INT64_MAX);
    assert_true(parse("--narrow 3000000000").narrow == 3000000000u);
    assert_int_equal(parse("--depth 20").depth, 20);
    assert_int_equal(parse("--depth +08").depth, 8);
    assert_true(parse("--fraction 0.25").fraction == 0.25f && parse("--fraction 0").fraction == 0);
    assert_true(parse("--rate 1e-3").rate == 1e-3 && parse("--any=-2").any == -2);
    assert_string_equal(parse("--own mine").own, "mine");
}

TEST(what_does_not_fit_is_refused) {
    refuses("--colour pink", "--colour: 'pink' is not red, green or blue");
    refuses("--colour re", "--colour: 're' is not red, green or blue");
    refuses("--colours red,pink,green", "--colours: 'pink' in 'red,pink,green' is not red, green, blue or all");
    refuses("--colours=", "--colours: '' is not red, green, blue or all");
    refuses("--colours=red,", "--colours: '' in 'red,' is not red, green, blue or all");
    refuses("--size 0", "--size: '0' is not a whole number from 1 to 4096");
    refuses("--size 4097", "--size: '4097' is not a whole number from 1 to 4096");
    refuses("--size 1.5", "--size: '1.5' is not a whole number from 1 to 4096");
    refuses("--depth 9", "--depth: '9' is not 8, 14 or 20");
    refuses("--fraction 0.99999999999", "--fraction: '0.99999999999' is not a number from 0 to below 1"); /* a float */
    refuses("--fraction 1", "--fraction: '1' is not a number from 0 to below 1");
    refuses("--rate 0", "--rate: '0' is not a number above 0");
    refuses("--any x", "--any: 'x' is not a number");
    refuses("--own no", "--own: 'no' is never taken");
    refuses("--own word", "--own: 'word' is not red, green or blue");
    refuses("--on --off", "--on and --off exclude each other");
    refuses("file", "'file' is not an option; test takes no files");
    refuses("--nothing", "unrecognized option '--nothing'");
}

TEST(arguments_are_taken_together) {
    table.arguments = "FILE...";
    table.arguments_at = offsetof(struct request, arguments);
    struct request r = parse("--size 3 one two --off");
    assert_int_equal(r.arguments.count, 2);
    assert_string_equal(r.arguments.at[0], "one");
    assert_string_equal(r.arguments.at[1], "two");
    assert_true(r.size == 3 && !r.off);
    assert_int_equal(parse("-- --size").arguments.count, 1);
    assert_int_equal(parse("").arguments.count, 0);
    table.arguments = NULL;
}

TEST(help_says_what_the_table_says) {
    static const char *const lines[] = {
        " The first:\n",
        "  -n, --on                   Sets\n",
        "      --colour=red|green|blue   One (default green)\n",
        "      --colours=COLOUR       Many (red, green, blue or all)\n",
        "      --text=TEXT            Any text\n",
        "      --size=N               A size (1 to 4096; default 128)\n",
        "      --number=N             A number (at least 2)\n",
        "      --depth=8|14|20        A depth (default 14)\n",
        "      --fraction=F           A part (from 0 to below 1; default 0.5)\n",
        "      --rate=R               Speed (above 0; default automatic)\n",
        "Does nothing.\n",
        "Nothing more.\n\nExit status: 0 success, 1 failure, 2 wrong usage.\n",
    };
    char said[4096];
    assert_int_equal(run("--help", STDOUT_FILENO, said, sizeof said), 0);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(said, lines[i])) fail_msg("--help has no %s, but:\n%s", lines[i], said);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_goes_where_its_row_says),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(arguments_are_taken_together),
        cmocka_unit_test(help_says_what_the_table_says),
    };
    return cmocka_run_group_tests_name("tools.options", tests, NULL, NULL);
}
