/* SPDX-License-Identifier: MIT */
#include "shim.h"

#include <dlfcn.h>
#include <string.h>

struct shim shim;

/* ISO C has no conversion from an object pointer to a function pointer, but dlsym() promises that their bits are the same. */
static bool find(void *library, const char *name, void *function) {
    void *const symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol;
}

const char *shim_load(void) {
    void *const library = dlopen("libtorch_cpu.so", RTLD_NOW | RTLD_NOLOAD);
    if (!library) return "libtorch_cpu.so";
#define SHIM_FIND(result, name, arguments)                                                                                     \
    if (!find(library, #name, &shim.name)) return #name;
    SHIM_LIST(SHIM_FIND)
#undef SHIM_FIND
#define SHIM_FIND(result, name, arguments) (void)find(library, #name, &shim.name);
    SHIM_OPTIONAL_LIST(SHIM_FIND)
#undef SHIM_FIND
    return NULL;
}
