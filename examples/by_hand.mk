# SPDX-License-Identifier: MIT
# The static library without CMake: make -f examples/by_hand.mk [CC=cc] [SIMD=off] [BUILD=DIRECTORY]. Run it from the root of the
# tree, or copy these lines into a Makefile of your own. Without OpenMP: add -fopenmp here and to your link.
BUILD := build/by-hand
CFLAGS :=
own := -std=c11 -ffp-contract=off -fno-math-errno -fPIC -fvisibility=hidden -D_FILE_OFFSET_BITS=64 -Iinclude -Isrc
isas_x86_64 := generic avx2 avx512
isas_aarch64 := neon
isas := $(if $(filter off,$(SIMD)),generic,$(or $(isas_$(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))),generic))
flags_avx2 := -mavx2 -mfma -mf16c
flags_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c -mprefer-vector-width=512
have := $(foreach isa,$(isas),-DBNK_HAVE_$(shell echo $(isa) | tr a-z A-Z))
sources := $(wildcard src/api/*.c src/sync/*.c src/plan/*.c src/parallel/*.c) src/kernel/dispatch.c
types := f32 f64 bf16 f16
verbs := $(foreach isa,$(isas),$(types:%=$(BUILD)/verbs.$(isa).%.o))
objects := $(sources:%.c=$(BUILD)/%.o) $(isas:%=$(BUILD)/table.%.o) $(verbs)
isa_of = $(word 2,$(subst ., ,$(@F)))
type_of = $(word 3,$(subst ., ,$(@F)))

$(BUILD)/libbatchnorm.a: $(objects)
	$(AR) rcs $@ $^
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(own) $(have) -O2 $(CFLAGS) -c $< -o $@
$(BUILD)/table.%.o: src/kernel/table.c
	@mkdir -p $(@D)
	$(CC) $(own) -DBNK_ISA=$* -O2 $(flags_$*) $(CFLAGS) -c $< -o $@
$(verbs): src/kernel/verbs.c
	@mkdir -p $(@D)
	$(CC) $(own) -DBNK_ISA=$(isa_of) -DBNK_TYPE=$(type_of) -O2 $(flags_$(isa_of)) $(CFLAGS) -c $< -o $@
