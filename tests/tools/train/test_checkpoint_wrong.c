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
    if (checkpoint_open(file_path("wrong"), &c, message)) fail_msg("taken, though it should be refused: \"%s\"", word);
    assert_null(c.file);
    if (strncmp(message, file_path("wrong"), strlen(file_path("wrong"))) != 0 || !strstr(message, word))
        fail_msg("\"%s\" does not say %s", message, word);
}

static const struct checkpoint_field *field_of(const char *key) {
    for (size_t i = 0; i < checkpoint_field_count; i++)
        if (strcmp(checkpoint_fields[i].key, key) == 0) return &checkpoint_fields[i];
    return NULL;
}

/* Files that were made before there was such a field are read. */
static bool is_older(const char *key) { return field_of(key) && field_of(key)->missing; }

static void assert_has_missing(const char *key) {
    struct checkpoint c;
    char text[CHECKPOINT_FIELD_BYTES];
    if (!checkpoint_open(file_path("wrong"), &c, message)) fail_msg("%s", message);
    checkpoint_field_write(field_of(key), &c, text);
    assert_string_equal(text, field_of(key)->missing);
    checkpoint_close(&c);
}

TEST(every_option_is_needed_and_checked) {
    begin_trained(NN_SGD);
    static struct parts p;
    take_apart(&p);
    for (size_t i = 0; i < p.pair_count; i++)
        if (strcmp(p.pairs[i].key, "fit") == 0) p.pairs[i].value = "crop"; /* stretch needs a size */
    for (size_t i = 0; i < p.pair_count; i++) {
        const batchnorm_safetensors_pair pair = p.pairs[i];
        if (strcmp(pair.key, "format") == 0) continue; /* PyTorch's, and no matter */
        p.pairs[i].key = "other";
        write_again(&p);
        if (is_older(pair.key))
            assert_has_missing(pair.key);
        else
            assert_not_opened(pair.key);
        p.pairs[i] = pair;
        if (strncmp(pair.key, "class.", 6) == 0) continue; /* any text is a name */
        p.pairs[i].value = "-nonsense";
        write_again(&p);
        assert_not_opened(pair.key[0] == 'c' && pair.key[1] == 'h' ? "format \"-nonsense\"" : pair.key);
        p.pairs[i] = pair;
    }
}

/* Values that the command line would not take, and such that contradict others. */
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
                                       {"seed", "9223372036854775808"},
                                       {"momentum", "1e30"},
                                       {"momentum", "1"},
                                       {"lr", "0"},
                                       {"lr", "1e39"}, /* no float */
                                       {"beta1", "1"},
                                       {"beta2", "2"},
                                       {"eps", "0"},
                                       {"step-factor", "2"},
                                       {"step-every", "1000001"},
                                       {"warmup", "1000001"},
                                       {"warmup", "5"}, /* not below the epochs */
                                       {"shift", "4097"},
                                       {"limit", "1"},
                                       {"epochs", "0"},
                                       {"epochs", "1000001"},
                                       {"mean.1", "256"},
                                       {"rstd.2", "1e10"},
                                       {"images", "0"},
                                       {"at.epoch", "6"}, /* of 5 */
                                       {"at.step", "6"},  /* not as many as the optimizer's */
                                       {"at.optimizer-steps", "18446744073709551615"},
                                       {"at.correct", "9"}, /* of 8 */
                                       {"at.loss", "nan"},
                                       {"at.loss", "-1"},
                                       {"at.loss", "inf"},
                                       {"size", "5"},
                                       {"size", "5x"},
                                       {"size", "0x6"},
                                       {"size", "5x4097"},
                                       {"fit", "tile"},
                                       {"shift", "1 "}};

TEST(models_that_cannot_be_are_refused) {
    begin_trained(NN_SGD);
    static struct parts p;
    take_apart(&p);
    for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
        for (size_t i = 0; i < p.pair_count; i++) {
            const batchnorm_safetensors_pair pair = p.pairs[i];
            if (strcmp(pair.key, wrong[w][0]) != 0) continue;
            p.pairs[i].value = wrong[w][1];
            write_again(&p);
            message[0] = '\0';
            struct checkpoint c;
            if (checkpoint_open(file_path("wrong"), &c, message)) fail_msg("%s is taken as %s", wrong[w][1], pair.key);
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

/* What the options say is compared with the tensors that are there before anything is made of it. */
TEST(tensors_that_are_too_few_are_no_network) {
    struct checkpoint c;
    begin_trained(NN_SGD);
    static struct parts p;
    take_apart(&p);
    assert_true(checkpoint_open(file_path("part"), &c, message));
    assert_true(checkpoint_has_network(&c, "part", message));
    c.request.model.kind = NN_MLP; /* its first layer would have 12884901888 weights */
    c.request.model.image = (nn_shape){4096, 4096, 3};
    assert_false(checkpoint_has_network(&c, "part", message));
    assert_non_null(strstr(message, "part: a mlp for images of 4096 x 4096 x 3 has 12884"));
    checkpoint_close(&c);
    p.count = 0;
    write_again(&p);
    assert_true(checkpoint_open(file_path("wrong"), &c, message));
    assert_false(checkpoint_has_network(&c, "wrong", message));
    assert_non_null(strstr(message, "; its tensors have 0"));
    checkpoint_close(&c);
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
        cmocka_unit_test_teardown(tensors_that_are_too_few_are_no_network, let_go),
        cmocka_unit_test_teardown(cut_files_are_refused, let_go),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
