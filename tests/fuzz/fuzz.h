/* SPDX-License-Identifier: MIT */
/* What the fuzzers share. Each of them defines LLVMFuzzerTestOneInput(): any bytes are refused with a message, or give
 * something whose every byte is there. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* The path of a file in memory with these bytes, which has `head` in front if there is one. The next file takes its place. */
const char *fuzz_file(const void *head, size_t head_count, const uint8_t *bytes, size_t count);

/* The bytes are read: a sanitizer sees one that is not there. */
void fuzz_took(const void *bytes, size_t count);

/* A refusal says why, and leaves nothing behind. */
void fuzz_refused(const char *message, const void *left);

/* For what must not be: the fuzzer keeps the input. */
void fuzz_expect(int true_);

#endif
