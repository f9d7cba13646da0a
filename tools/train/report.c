/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/machine.h"
#include "tools/shared/clean.h"
#include "tools/shared/json.h"
#include "tools/shared/terminal.h"

struct train_progress train_progress_begin(bool first, long epochs) {
    return (struct train_progress){.shown = first && isatty(STDERR_FILENO), .epochs = epochs, .start = nn_seconds()};
}

void train_progress_epoch(struct train_progress *progress, long epoch) {
    progress->epoch = epoch;
    progress->epoch_start = nn_seconds();
}

void train_progress_show(void *user, size_t done, size_t total) {
    struct train_progress *progress = user;
    const double now = nn_seconds();
    if (!progress->shown || now - progress->last < 0.2) return;
    progress->last = now;
    /* The time left comes from the whole run so far, tests included; the rate is that of training. */
    const double all = (double)progress->epochs * (double)total;
    const double gone = (double)(progress->epoch - 1) * (double)total + (double)done;
    const long left = (long)((now - progress->start) / gone * (all - gone));
    const double rate = (double)done / (now - progress->epoch_start);
    char line[160];
    snprintf(line, sizeof line, "epoch %ld of %ld  %3.0f %%  %.0f images/s  %ld:%02ld left", progress->epoch, progress->epochs,
             100.0 * (double)done / (double)total, rate, left / 60, left % 60);
    fprintf(stderr, "\r%.*s\033[K", terminal_width(STDERR_FILENO) - 1, line); /* a line that breaks cannot be taken back */
    fflush(stderr);
}

void train_progress_hide(const struct train_progress *progress) {
    if (progress->shown) fputs("\r\033[K", stderr);
}

enum { WIDE = 55, WAITING = 9 }; /* columns of the table of epochs; where there is no room for them, words are shorter */

static bool is_narrow(bool ranks) { return terminal_width(STDOUT_FILENO) < WIDE + (ranks ? WAITING : 0); }

void train_print_head(bool ranks) {
    printf(is_narrow(ranks) ? "epoch training     test    right       s%s\n"
                            : "epoch  training loss  test loss  test accuracy  seconds%s\n",
           !ranks             ? ""
           : is_narrow(ranks) ? " wait"
                              : "  waiting");
}

static void print_json_epoch(long number, const nn_epoch *epoch, bool ranks) {
    printf("{\"epoch\": %ld", number);
    print_json_number("loss", "%.6f", epoch->loss);
    print_json_number("test_loss", "%.6f", epoch->test_loss);
    print_json_number("accuracy", "%.4f", epoch->accuracy);
    print_json_number("seconds", "%.3f", epoch->seconds);
    print_json_number("test_seconds", "%.3f", epoch->test_seconds);
    if (ranks) print_json_number("waiting", "%.3f", epoch->waiting);
    printf("}\n");
}

void train_print_epoch(long number, const nn_epoch *epoch, bool ranks, bool json) {
    const double share = 100 * epoch->waiting / epoch->seconds;
    if (json) {
        print_json_epoch(number, epoch, ranks);
    } else {
        printf(is_narrow(ranks) ? "%5ld %8.4f %8.4f %6.2f %% %7.1f" : "%5ld  %13.4f  %9.4f  %11.2f %%  %7.1f", number,
               epoch->loss, epoch->test_loss, 100 * epoch->accuracy, epoch->seconds);
        if (ranks) printf(is_narrow(ranks) ? " %2.0f %%" : "  %5.1f %%", share);
        putchar('\n');
    }
    fflush(stdout); /* a reader in a pipe wants each epoch when it is over */
}

static void print_class(const char *name, uint32_t right, uint32_t all, int width, bool json) {
    const double accuracy = all > 0 ? (double)right / all : NAN; /* a set may lack one */
    if (json) {
        printf("{\"class\": ");
        print_json_text(name);
        printf(", \"images\": %u, \"correct\": %u", (unsigned)all, (unsigned)right);
        print_json_number("accuracy", "%.4f", accuracy);
        printf("}\n");
        return;
    }
    terminal_print_name(name, width);
    printf("  %7u  %7u", (unsigned)all, (unsigned)right);
    if (all > 0)
        printf("  %6.2f %%\n", 100 * accuracy);
    else
        printf("         -\n");
}

/* A column of names leaves `rest` columns for the others. */
static int names_width(int wanted, int rest) {
    enum { LEAST = 8 };
    const int room = terminal_width(STDOUT_FILENO) - rest;
    return wanted < room ? wanted : room < LEAST ? LEAST : room;
}

void train_print_classes(const nn_dataset *set, const uint32_t *right, const uint32_t *all, bool json) {
    int width = (int)strlen("class");
    for (size_t c = 0; c < set->classes; c++)
        if (terminal_columns(set->class_names[c]) > width) width = terminal_columns(set->class_names[c]);
    width = names_width(width, 28);
    if (!json) printf("\n%-*s   images    right  accuracy\n", width, "class");
    for (size_t c = 0; c < set->classes; c++) print_class(set->class_names[c], right[c], all[c], width, json);
}

void train_print_best(long epoch, double accuracy, const char *path, bool json) {
    if (json) {
        printf("{\"best_epoch\": %ld, \"accuracy\": %.4f, \"checkpoint\": ", epoch, accuracy);
        print_json_text(path);
        printf("}\n");
    } else {
        putchar('\n');
        print_clean(stdout, path);
        printf(" is the network after epoch %ld, with a test accuracy of %.2f %%.\n", epoch, 100 * accuracy);
    }
}

void train_print_memory(const nn_network *network, bool json) {
    const double bytes = (double)network->memory_count * sizeof(float), plain = (double)network->plain * sizeof(float);
    if (json)
        printf("{\"memory_bytes\": %.0f, \"plain_memory_bytes\": %.0f}\n", bytes, plain);
    else
        printf("\nValues and gradients of the layers: %.1f MB (%.1f MB with --memory plain).\n", bytes / 1e6, plain / 1e6);
}

static void print_part(const char *name, double forward, double backward, double total, bool json) {
    const double seconds = forward + backward;
    if (json) {
        printf("{\"layer\": \"%s\", \"seconds\": %.3f, \"forward\": %.3f, \"backward\": %.3f, \"share\": %.4f}\n", name,
               seconds, forward, backward, seconds / total);
    } else {
        terminal_print_name(name, names_width(24, 30));
        printf("  %8.2f  %8.2f  %6.1f %%\n", forward, backward, 100 * seconds / total);
    }
}

void train_print_profile(const nn_network *network, double total, bool json) {
    double rest = total;
    if (!json) printf("\n%-*s   forward  backward     share\n", names_width(24, 30), "layer");
    for (size_t i = 0; i < network->count; i++) {
        const nn_layer *layer = network->nodes[i].layer;
        print_part(layer->name, layer->forward_seconds, layer->backward_seconds, total, json);
        rest -= layer->forward_seconds + layer->backward_seconds;
    }
    print_part("the rest", rest, 0, total, json);
}
