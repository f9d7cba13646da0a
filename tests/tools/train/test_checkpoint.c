/* SPDX-License-Identifier: MIT */
/* Checkpoints: everything comes back, and other data is noticed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_support.h"
#include "tests/support/test.h"

TEST(everything_comes_back) {
    for (int kind = NN_SGD; kind <= NN_ADAMW; kind++) {
        struct training *was = begin_trained((nn_optimizer_kind)kind);
        struct checkpoint c;
        size_t bytes;
        unsigned char *expected = copy_state(was, &bytes);
        assert_true(checkpoint_open(file_path("part"), &c, message));
        assert_true(checkpoint_fits_data(&c, "part", &was->data, message));
        assert_int_equal(was->trainer.at.step, 5);
        c.request.model.threads = 1;
        struct training *is = begin(&c.request);
        assert_false(has_state(is, expected, bytes));
        assert_true(checkpoint_restore(&c, "part", is->network, &is->trainer, message));
        assert_true(has_state(is, expected, bytes));
        /* options, order and position: the next steps and a new checkpoint are the same */
        assert_true(checkpoint_save(file_path("again"), &is->request, &is->trainer, message));
        enum { MOST = 4 << 20 };
        unsigned char *files = malloc(2 * MOST);
        const size_t size = file_get(file_path("part"), files, MOST);
        assert_true(size < MOST);
        assert_int_equal(file_get(file_path("again"), files + MOST, MOST), size);
        assert_memory_equal(files, files + MOST, size);
        assert_null(nn_trainer_step(&was->trainer, NULL));
        assert_null(nn_trainer_step(&is->trainer, NULL));
        free(expected);
        expected = copy_state(was, &bytes);
        assert_true(has_state(is, expected, bytes));
        free(files);
        free(expected);
        checkpoint_close(&c);
    }
}

TEST(other_data_does_not_fit) {
    struct training *t = begin_trained(NN_SGD);
    struct checkpoint c;
    assert_true(checkpoint_open(file_path("part"), &c, message));
    nn_dataset data = t->data;
    assert_true(checkpoint_fits_data(&c, "part", &data, message));
    data.pixels[IMAGES * nn_shape_size(data.image) - 1] ^= 1;
    assert_false(checkpoint_fits_data(&c, "part", &data, message));
    data = make_data();
    data.labels[0] ^= 1;
    assert_false(checkpoint_fits_data(&c, "part", &data, message));
    data = make_data();
    data.count--;
    assert_false(checkpoint_fits_data(&c, "part", &data, message));
    char *names[] = {"one", "two", "three"};
    data = make_data();
    data.class_names = names;
    assert_false(checkpoint_fits_data(&c, "part", &data, message));
    assert_non_null(strstr(message, "\"three\""));
    checkpoint_close(&c);
}

/* Of one training, and not of the network: a resumed training may have others. */
static bool is_of_a_run(const char *option) {
    static const char *const those[] = {
        "no-bn",    "data", /* another word for a field; its bytes count, as of what the next leaves */
        "skip-bad", "threads", "save", "save-every", "force", "keep-best", "resume", "json", "profile", "per-class"};
    for (size_t i = 0; i < sizeof those / sizeof those[0]; i++)
        if (strcmp(those[i], option) == 0) return true;
    return false;
}

TEST(every_option_is_kept_or_of_a_run) {
    for (size_t i = 0; i < train_options.count; i++) {
        const char *name = train_options.rows[i].name;
        bool kept = false;
        for (size_t f = 0; name && f < checkpoint_field_count; f++) kept = kept || strcmp(checkpoint_fields[f].key, name) == 0;
        if (name && kept == is_of_a_run(name)) fail_msg("--%s: %s", name, kept ? "kept, too" : "not in a checkpoint");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_is_kept_or_of_a_run),
        cmocka_unit_test_teardown(everything_comes_back, let_go),
        cmocka_unit_test_teardown(other_data_does_not_fit, let_go),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
