/* SPDX-License-Identifier: MIT */
/* Of a checkpoint that is wrong anywhere nothing is taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_support.h"
#include "tests/support/test.h"

enum { MOST = 256 }; /* tensors of a file */

/* A file's tensors and metadata, to be changed and written again. */
struct parts {
    batchnorm_safetensors *file;
    batchnorm_named_tensor tensors[MOST];
    batchnorm_safetensors_pair pairs[MOST];
    size_t count, pair_count;
};

static void release_file(void *file) { batchnorm_safetensors_close(file); }

static void take_apart(struct parts *p) {
    assert_int_equal(batchnorm_safetensors_open(file_path("part"), &p->file, message), BATCHNORM_OK);
    keep(p->file, release_file);
    for (p->count = 0; p->count < batchnorm_safetensors_count(p->file); p->count++) {
        const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(p->file, p->count);
        assert_true(p->count < MOST);
        p->tensors[p->count] = (batchnorm_named_tensor){entry->name, entry->tensor};
    }
    const batchnorm_safetensors_pair *pair;
    for (p->pair_count = 0; (pair = batchnorm_safetensors_metadata_at(p->file, p->pair_count)); p->pair_count++) {
        assert_true(p->pair_count < MOST);
        p->pairs[p->pair_count] = *pair;
    }
}

static void write_again(const struct parts *p) {
    assert_int_equal(batchnorm_safetensors_write(file_path("wrong"), p->tensors, p->count, p->pairs, p->pair_count, message),
                     BATCHNORM_OK);
}

/* The file "wrong" is refused, by words that begin with its path and have `word`. */
static void assert_not_opened(const char *word) {
    struct checkpoint c;
    message[0] = '\0';
    if (checkpoint_open(file_path("wrong"), &c, message)) fail_msg("taken, though it should be refused: %s", word);
    assert_null(c.file);
    if (strncmp(message, file_path("wrong"), strlen(file_path("wrong"))) != 0 || !strstr(message, word))
        fail_msg("\"%s\" does not say %s", message, word);
}

TEST(every_option_is_needed_and_checked) {
    begin_trained(NN_SGD);
    static struct parts p;
    take_apart(&p);
    for (size_t i = 0; i < p.pair_count; i++) {
        const batchnorm_safetensors_pair pair = p.pairs[i];
        if (strcmp(pair.key, "format") == 0) continue; /* PyTorch's, and no matter */
        p.pairs[i].key = "other";
        write_again(&p);
        assert_not_opened(pair.key);
        p.pairs[i] = pair;
        if (strncmp(pair.key, "class.", 6) == 0) continue; /* any text is a name */
        p.pairs[i].value = "-nonsense";
        write_again(&p);
        assert_not_opened(pair.key[0] == 'c' && pair.key[1] == 'h' ? "format \"-nonsense\"" : pair.key);
        p.pairs[i] = pair;
    }
}

TEST(models_that_cannot_be_are_refused) {
    static const char *const wrong[][2] = {{"depth", "2"},
                                           {"depth", "9"},
                                           {"depth", "26"},
                                           {"batch", "0"},
                                           {"batch", "4097"},
                                           {"activation", "identity"},
                                           {"classes", "1"},
                                           {"classes", "257"},
                                           {"image.height", "0"},
                                           {"image.width", "4097"},
                                           {"image.channels", "2"},
                                           {"lr", "nan"},
                                           {"lr", "-1"},
                                           {"rstd.0", "inf"},
                                           {"frozen", "2"},
                                           {"seed", "18446744073709551616"},
                                           {"shift", "1 "}};
    begin_trained(NN_SGD);
    static struct parts p;
    take_apart(&p);
    for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
        for (size_t i = 0; i < p.pair_count; i++) {
            const batchnorm_safetensors_pair pair = p.pairs[i];
            if (strcmp(pair.key, wrong[w][0]) != 0) continue;
            p.pairs[i].value = wrong[w][1];
            write_again(&p);
            assert_not_opened("");
            p.pairs[i] = pair;
        }
    }
}

/* It opens, but the network does not take it: the words name `word`, and nothing of network and trainer is changed. */
static void assert_not_restored(struct training *t, const struct parts *p, const char *word) {
    struct checkpoint c;
    size_t bytes;
    unsigned char *before = copy_state(t, &bytes);
    write_again(p);
    assert_true(checkpoint_open(file_path("wrong"), &c, message));
    if (checkpoint_restore(&c, "wrong", t->network, &t->trainer, message)) fail_msg("%s is taken", word);
    if (strncmp(message, "wrong: ", 7) != 0 || !strstr(message, word)) fail_msg("\"%s\" does not say %s", message, word);
    assert_true(has_state(t, before, bytes));
    checkpoint_close(&c);
    free(before);
}

TEST(every_tensor_is_needed_and_checked) {
    struct training *t = begin_trained(NN_ADAM);
    static struct parts p;
    static double doubles[1 << 16];
    assert_null(nn_trainer_step(&t->trainer, NULL)); /* so that what is in the file differs from all that is here */
    take_apart(&p);
    for (size_t i = 0; i < p.count; i++) {
        const batchnorm_named_tensor tensor = p.tensors[i];
        p.tensors[i].name = "trainer.other";
        assert_not_restored(t, &p, tensor.name);
        p.tensors[i] = tensor;
        if (i % 5 != 0) continue; /* every file is synced, which takes a moment */
        p.tensors[i].tensor.shape[p.tensors[i].tensor.rank++] = 1;
        assert_not_restored(t, &p, tensor.name);
        p.tensors[i] = tensor;
        if (tensor.tensor.rank > 0) p.tensors[i].tensor.shape[0]--;
        if (tensor.tensor.rank > 0) assert_not_restored(t, &p, tensor.name);
        p.tensors[i] = tensor;
        p.tensors[i].tensor = batchnorm_tensor_contiguous(doubles, BATCHNORM_F64, tensor.tensor.rank, tensor.tensor.shape);
        assert_not_restored(t, &p, tensor.name);
        p.tensors[i] = tensor;
    }
    p.tensors[p.count++] = (batchnorm_named_tensor){"bn9.weight", p.tensors[0].tensor};
    assert_not_restored(t, &p, "1 tensor");
}

TEST(cut_files_are_refused) {
    begin_trained(NN_SGD);
    unsigned char *whole = malloc(2 << 20);
    const size_t size = file_get(file_path("part"), whole, 2 << 20);
    for (size_t cut = 0; cut < size; cut += cut < 16 ? 1 : size / 29) {
        file_put(file_path("wrong"), whole, cut);
        assert_not_opened("");
    }
    free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_option_is_needed_and_checked, let_go),
        cmocka_unit_test_teardown(models_that_cannot_be_are_refused, let_go),
        cmocka_unit_test_teardown(every_tensor_is_needed_and_checked, let_go),
        cmocka_unit_test_teardown(cut_files_are_refused, let_go),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
