#include "library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* It would write to our standard error. */
static void say_nothing(int severity, const char *full, const char *text, void *context)
{
    (void)severity, (void)full, (void)text, (void)context;
}

/* The library writes to it what this process found in one object; CONTEXT is what kav_clamav_scan handed over. */
static void remember(int fd, const char *name, void *context)
{
    (void)fd;
    kav_clamav_found *found = context;
    if (found == NULL || name == NULL) return;
    size_t length = strnlen(name, KAV_CLAMAV_NAME_MAX);
    if (length == 0) return;
    size_t needed = found->length + length + 1;
    if (needed > KAV_CLAMAV_NAMES_MAX) {
        found->full = 1;
        return;
    }
    if (needed > found->room) {
        size_t room = needed < 2048 ? 4096 : 2 * needed;
        char *names = realloc(found->names, room);
        if (names == NULL) {
            found->full = 1;
            return;
        }
        found->names = names;
        found->room = room;
    }
    memcpy(found->names + found->length, name, length);
    found->names[found->length + length] = 0;
    found->length = needed;
}

static int find(void *handle, const char *symbol, void *place, char *trouble, size_t room)
{
    void *address = dlsym(handle, symbol);
    if (address == NULL) {
        snprintf(trouble, room, "%s has no %s", KAV_CLAMAV_SONAME, symbol);
        return -ENOTSUP;
    }
    memcpy(place, &address, sizeof address);
    return 0;
}

static int find_all(void *handle, kav_clamav *lib, char *trouble, size_t room)
{
    const struct {
        const char *symbol;
        void *place;
    } needed[] = {
        {"cl_init", &lib->init},
        {"cl_engine_new", &lib->engine_new},
        {"cl_engine_free", &lib->engine_free},
        {"cl_engine_compile", &lib->engine_compile},
        {"cl_engine_set_num", &lib->set_num},
        {"cl_engine_set_str", &lib->set_str},
        {"cl_load", &lib->load},
        {"cl_strerror", &lib->error},
        {"cl_engine_set_clcb_virus_found", &lib->on_virus},
        {"cl_set_clcb_msg", &lib->on_message},
        {"cl_scandesc_callback", &lib->scan},
    };
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        int code = find(handle, needed[i].symbol, needed[i].place, trouble, room);
        if (code < 0) return code;
    }
    return 0;
}

/* The name of the file says the ABI; that its version and level are ones of that ABI is checked besides. */
static int read_version(void *handle, kav_clamav *lib, char *trouble, size_t room)
{
    const char *(*version)(void) = NULL;
    unsigned (*level)(void) = NULL;
    int code = find(handle, "cl_retver", &version, trouble, room);
    if (code == 0) code = find(handle, "cl_retflevel", &level, trouble, room);
    if (code < 0) return code;
    const char *text = version();
    lib->level = level();
    snprintf(lib->version, sizeof lib->version, "%s", text != NULL ? text : "");
    if (strncmp(lib->version, "1.", 2) != 0 || lib->level < 180 || lib->level > 999) {
        snprintf(trouble, room, "%s says that it is version %.40s, which is not known here", KAV_CLAMAV_SONAME,
                 lib->version);
        return -ENOTSUP;
    }
    return 0;
}

int kav_clamav_open(kav_clamav *lib, char *trouble, size_t room)
{
    memset(lib, 0, sizeof *lib);
    void *handle = dlopen(KAV_CLAMAV_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        snprintf(trouble, room, "%s", why != NULL ? why : KAV_CLAMAV_SONAME " cannot be opened");
        return -ENOENT;
    }
    int code = read_version(handle, lib, trouble, room);
    if (code == 0) code = find_all(handle, lib, trouble, room);
    if (code < 0) return code;
    lib->on_message(say_nothing);
    return 0;
}

int kav_clamav_scan(const kav_clamav *lib, kav_clamav_engine *engine, int fd, const kav_clamav_options *options,
                    kav_clamav_found *found)
{
    kav_clamav_options own = *options;
    const char *last = NULL;
    unsigned long scanned = 0;
    lib->on_virus(engine, remember);
    int code = lib->scan(fd, NULL, &last, &scanned, engine, &own, found);
    found->scanned = (uint64_t)scanned * 4096;
    if (code == KAV_CL_VIRUS && found->length == 0) remember(fd, last != NULL ? last : "unnamed", found);
    return code;
}
