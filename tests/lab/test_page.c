/* SPDX-License-Identifier: MIT */
/* From metrics to gnuplot's script, to SVG, to the page; without running gnuplot. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/figure_svg.h"
#include "lab/report.h"
#include "lab/report_parts.h"
#include "tests/support/test.h"
#include "tools/shared/markup.h"
#include "tools/shared/messages.h"

static struct metrics metrics;
static int reports;

/* tools/shared/messages.c has the true one. */
int report(int code, const char *format, ...) {
    (void)format;
    reports++;
    return code;
}

static void add_in(enum experiment experiment, enum side side, double at, int seed, long step, const char *name, double value) {
    metrics_add(&metrics, &(struct metric){experiment, side, at, seed, step, "", name, value});
}

static bool has(const char *text, const char *word) { return strstr(text, word) != NULL; }

static size_t count_of(const char *text, const char *word) {
    size_t count = 0;
    for (; (text = strstr(text, word)); text++) count++;
    return count;
}

/* Scripts. */

static const struct point some[] = {{1, 0.5, 0.25, 0.75, NULL}, {2, NAN, NAN, NAN, NULL}, {4, 0.75, 0.5, INFINITY, NULL}};

static char *script_of(struct panel *panel, const struct point *points, size_t count, bool *empty) {
    struct figure figure = {.id = "a-b"};
    struct series *series = panel_series(panel, "with", COLOUR_WITH, MARK_LINE);
    for (size_t i = 0; i < count; i++) series_add(&figure, series, &points[i]);
    char *script = figure_script(panel, "a-b-1", empty);
    free(series->points);
    return script;
}

/* A point that is no number interrupts the line; a range without an end stops at the point. */
TEST(points_that_are_none_interrupt_a_line) {
    struct panel panel = {.x_label = "steps", .y_label = "loss", .percent = true};
    bool empty;
    char *script = script_of(&panel, some, 3, &empty);
    assert_false(empty);
    assert_true(has(script, "<< END\n1 50 25 75\n\n4 75 50 75\nEND\n"));
    free(script);
}

TEST(a_panel_can_have_nothing_to_draw) {
    struct panel panel = {.log_y = true};
    bool empty;
    assert_null(script_of(&panel, &(struct point){1, -1, -1, -1, NULL}, 1, &empty));
    assert_true(empty);
}

/* Short logarithmic axes have 1, 2 and 5, long ones powers of ten; batch sizes have powers of two. */
TEST(logarithmic_axes_have_numbers) {
    struct panel panel = {.log_x = true, .log_y = true};
    const struct point points[] = {{1, 0.3, 0.3, 0.3, NULL}, {4, 3, 3, 3, NULL}};
    bool empty;
    char *script = script_of(&panel, points, 2, &empty);
    assert_true(has(script, "set logscale x 2\nset mxtics default\nset xtics ('1' 1, '2' 2, '4' 4)\n"));
    assert_true(has(script, "set ytics ('0.5' 0.5, '1' 1, '2' 2)\n"));
    free(script);
    panel = (struct panel){.log_x = true};
    script = script_of(&panel, (const struct point[]){{0.003, 1, 1, 1, NULL}, {10, 2, 2, 2, NULL}}, 2, &empty);
    assert_true(has(script, "set logscale x 10\nset mxtics default\nset xtics ('0.01' 0.01, '0.1' 0.1, '1' 1, '10' 10)\n"));
    free(script);
}

/* An axis has a few numbers, and room for half of the last one to the right of it. */
TEST(linear_axes_have_room_for_their_last_number) {
    struct panel panel = {0};
    bool empty;
    char *script = script_of(&panel, (const struct point[]){{0, 1, 1, 1, NULL}, {0.0025, 2, 2, 2, NULL}}, 2, &empty);
    assert_true(has(script, "set xrange [-5e-05:0.00255]\nset xtics 0.0005\nset rmargin 3.6\n"));
    free(script);
    panel = (struct panel){0};
    script = script_of(&panel, (const struct point[]){{0, 1, 1, 1, NULL}, {20, 2, 2, 2, NULL}}, 2, &empty);
    assert_true(has(script, "set xtics 5\nset rmargin 1.8\n"));
    free(script);
}

/* Nothing of a name is a command. */
TEST(labels_are_quoted) {
    struct panel panel = {.x_label = "it's `date`\"", .y_label = "y"};
    bool empty;
    char *script = script_of(&panel, some, 1, &empty);
    assert_true(has(script, "set xlabel 'it''s `date`\"' offset"));
    free(script);
}

/* SVG. */

static const char drawn[] =
    "<?xml version=\"1.0\"?>\n<svg \n width=\"440\" height=\"300\"\n viewBox=\"0 0 440 300\"\n>\n\n"
    "<title>a</title>\n<desc>Produced by GNUPLOT</desc>\n<g id=\"gnuplot_canvas\">\n"
    "\t<circle id='gpDot' r='0.5'/>\n\t<use xlink:href='#gpPt5' id='gpPt6'/>\n"
    "\t<filter id='textbox'>\n\t  <feFlood/>\n\t</filter>\n"
    "<g fill=\"none\" color=\"black\" stroke=\"currentColor\">\n</g>\n"
    "<g fill=\"none\" color=\"black\">\n\t<path stroke='rgb(  1,   1,   1)' class=\"gridline\"/></g>\n"
    "<g fill=\"rgb(16,0,2)\" font-family=\"sans-serif\"><title>a_plot_1</title>\n<path stroke='rgb( 16,   0,   1)'/>"
    "<path stroke='rgb(9,9,9)'/></g>\n</g>\n</svg>\n";

TEST(pictures_get_the_colours_of_the_page) {
    char *svg = figure_adapt(drawn, "f-1", "a \"b\" < c");
    assert_string_equal(
        svg, "<svg viewBox=\"0 0 440 300\" role=\"img\" aria-label=\"a &quot;b&quot; &lt; c\">\n<g>\n"
             "<circle id='f-1-gpDot' r='0.5'/>\n<use xlink:href='#f-1-gpPt5' id='f-1-gpPt6'/>\n"
             "<g fill=\"none\" color=\"var(--ink)\">\n<path stroke='var(--ink)' class=\"gridline\"/></g>\n"
             "<g fill=\"var(--without)\">\n<path stroke='var(--with)'/><path stroke='rgb(9,9,9)'/></g>\n</g>\n</svg>\n");
    free(svg);
    assert_null(figure_adapt("no picture", "f-1", ""));
    svg = figure_adapt("<svg viewBox=\"\">\nrgb(4294967297,1,1)", "", ""); /* in an int that could become rgb(1,1,1) */
    assert_non_null(strstr(svg, "rgb(4294967297,1,1)"));
    free(svg);
}

/* The page. */

static struct compare_request request = {.experiments = (1u << EXPERIMENTS) - 1,
                                         .out = "out",
                                         .data = "a<b>&\"c\"",
                                         .seeds = 2,
                                         .threads = 1,
                                         .rate = 0.05,
                                         .momentum = 0.9,
                                         .activation = NN_RELU,
                                         .batch = 128,
                                         .model = NN_CNN};

static char *page_of(struct report *r) {
    static struct claim claims[MOST_CLAIMS];
    r->request = &request;
    r->metrics = r->shown = &metrics;
    r->claims = claims;
    r->claim_count = claims_make(&metrics, request.experiments, claims);
    r->machine = "a machine";
    r->run = "20260131T120000Z-1-a-run";
    return report_html(r, false);
}

static void fill(int seeds) {
    for (int seed = 1; seed <= seeds; seed++) {
        for (int side = 0; side < SIDES; side++) {
            for (int step = 0; step < 3; step++)
                add_in(BEST, (enum side)side, 0.1, seed, step, "test_accuracy", 0.5 + 0.1 * step + 0.01 * seed - 0.02 * side);
            add_in(BEST, (enum side)side, 0.1, seed, 2, "best_accuracy", 0.7 + 0.01 * seed - 0.02 * side);
            add_in(BEST, (enum side)side, 0.1, seed, 2, "best_loss", 0.5 + 0.1 * side);
        }
    }
}

TEST(the_page_has_claims_figures_and_numbers) {
    struct report r = {.seeds_done = {2, 2, 2, 2, 2, 2}};
    fill(2);
    char *page = page_of(&r);
    assert_true(has(page, "<p class=\"lead\">1 of 19 claims hold, 1 is too short to tell, 17 were not measured.</p>"));
    assert_true(
        has(page, "<th scope=\"row\">Better best test accuracy in 2 steps<br><span class=\"note\">The last third of the steps "
                  "still lowers the share of wrong answers: by 26.0 % with batch norm, by 24.7 % without.</span></th><td "
                  "class=\"with\" data-label=\"with\"><span>71.5 % <span class=\"range\">(71.0 to 72.0)</span></span></td><td "
                  "class=\"without\" data-label=\"without\"><span>69.5 % "));
    assert_int_equal(count_of(page, "data-figure=\""), 1);
    assert_true(
        has(page,
            "<figcaption>With batch norm, at its best rate of 0.1: accuracy up to 71.5 % (71.0 to 72.0), loss down to 0.500."));
    /* 3 steps on both sides, with the median and the range of two seeds */
    assert_int_equal(count_of(page, "<tr><td class=\"name\">accuracy</td>"), 6);
    assert_true(has(page, "<td class=\"name\">with batch norm</td><td>2</td><td>0.715</td><td>0.71</td><td>0.72</td></tr>"));
    assert_false(has(page, "notice\"><strong>"));
    free(page);
}

/* Names of folders are names of classes. */
TEST(text_is_harmless_whatever_it_is) {
    static const struct {
        const char *text, *markup;
    } texts[] = {{"a\x1b[31m\r\x7f<\n\t\xc3\xa9", "a?[31m??&lt;\n\t\xc3\xa9"},
                 {"\"&amp;\" 'x' > y", "&quot;&amp;amp;&quot; 'x' > y"},
                 {"\xff\xe2\x82\xac\xe2\x82", "?\xe2\x82\xac??"},
                 {"\xef\xbf\xbd\xef\xbf\xbe\xf0\x9f\x98\x80", "\xef\xbf\xbd?\xf0\x9f\x98\x80"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *text = NULL;
        size_t bytes;
        FILE *page = open_memstream(&text, &bytes);
        assert_non_null(page);
        markup_text(page, texts[i].text);
        fclose(page);
        assert_string_equal(text, texts[i].markup);
        free(text);
    }
}

/* What was measured stands before what was found. */
TEST(the_page_begins_with_the_settings) {
    static const nn_dataset train = {.count = 4000, .image = {28, 28, 1}, .classes = 10},
                            test = {.count = 1000, .image = {28, 28, 1}, .classes = 10};
    struct report r = {.train = &train, .test = &test};
    request.plan = (struct plan){.convergence_passes = 3, .best_passes = 6, .sweep_passes = 1, .sigmoid_passes = 2};
    char *page = page_of(&r), *claims = strstr(page, "<table class=\"claims\">");
    *claims = '\0';
    assert_true(has(page,
                    "<dt>data</dt><dd><code>a&lt;b>&amp;&quot;c&quot;</code></dd><dt>images</dt><dd>4000 for training, 1000 "
                    "for testing, 28 x 28 pixels, 10 classes</dd>"));
    assert_true(
        has(page, "<dt>network</dt><dd>cnn, relu (sigmoid in the sigmoid experiment); batch norm before the activation"));
    assert_true(has(page, "<dd>sgd, learning rate 0.05, momentum 0.9, batches of 128, where"));
    assert_true(has(page, "convergence 93, gradients 0, sweep 31, best 186, sigmoid 62, layer 0, ranks 0</dd>"));
    assert_true(has(page, "<dt>seeds</dt><dd>2</dd><dt>run</dt><dd><code>20260131T120000Z-1-a-run</code></dd>"));
    assert_int_equal(count_of(claims + 1, "20260131T120000Z-1-a-run"), 1); /* in the foot */
    free(page);
}

TEST(the_page_loads_and_runs_nothing) {
    struct report r = {0};
    char *page = page_of(&r);
    assert_true(has(page, "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\""));
    assert_false(has(page, "http:"));
    assert_false(has(page, "https:"));
    assert_false(has(page, "<script"));
    assert_false(has(page, "a<b>"));
    assert_true(has(page, "--data 'a&lt;b>&amp;&quot;c&quot;' --out out</code>"));
    assert_false(has(page, "(null)")); /* every experiment has its chapter */
    free(page);
}

TEST(a_stopped_run_says_what_is_missing) {
    struct report r = {.stopped = true, .seeds_done = {2, 2, 2, 1, 0, 0}};
    fill(2);
    char *page = page_of(&r);
    assert_true(has(page, "This run was stopped before its end, or is not there yet."));
    assert_true(has(page, "Incomplete: this is about the 1 of 2 seeds that were finished."));
    assert_int_equal(count_of(page, "Not measured: the run was stopped before."), 3); /* sigmoid, layer and ranks */
    free(page);
}

TEST(summaries_agree_with_their_numbers) {
    static const struct claim claims[] = {{.verdict = HOLDS}, {.verdict = MIXED}, {.verdict = FAILS}, {.verdict = FAILS}};
    struct report r = {.claims = claims, .claim_count = 3};
    char text[160];
    report_summary(&r, text, sizeof text);
    assert_string_equal(text, "1 of 3 claims hold, 1 is mixed, 1 does not hold");
    r.claim_count = 4;
    report_summary(&r, text, sizeof text);
    assert_string_equal(text, "1 of 4 claims hold, 1 is mixed, 2 do not hold");
}

FIXTURE(clear) {
    metrics_free(&metrics);
    return reports == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(points_that_are_none_interrupt_a_line, clear),
        cmocka_unit_test_teardown(a_panel_can_have_nothing_to_draw, clear),
        cmocka_unit_test_teardown(logarithmic_axes_have_numbers, clear),
        cmocka_unit_test_teardown(linear_axes_have_room_for_their_last_number, clear),
        cmocka_unit_test_teardown(labels_are_quoted, clear),
        cmocka_unit_test_teardown(pictures_get_the_colours_of_the_page, clear),
        cmocka_unit_test_teardown(the_page_has_claims_figures_and_numbers, clear),
        cmocka_unit_test_teardown(text_is_harmless_whatever_it_is, clear),
        cmocka_unit_test_teardown(the_page_begins_with_the_settings, clear),
        cmocka_unit_test_teardown(the_page_loads_and_runs_nothing, clear),
        cmocka_unit_test_teardown(a_stopped_run_says_what_is_missing, clear),
        cmocka_unit_test_teardown(summaries_agree_with_their_numbers, clear),
    };
    return cmocka_run_group_tests_name("lab.page", tests, NULL, NULL);
}
