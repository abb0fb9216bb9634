/* Writes the forms of pages that signatures for HTML are matched against; for test_pages_against_clamscan.py.
 *
 *     page_forms OUT PAGE...
 *
 * For each page a folder OUT/<its number> with nocomment.html, notags.html, javascript (if it has scripts) and
 * data0, data1 ..., named as ClamAV names them in its folder for temporary files.
 */
#include "markup.h"
#include "script.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM 4096
#define LIMIT     (1u << 30)

typedef struct {
    const char *folder;
    kav_script *script;
    FILE *data;
    int scripts, parts;
} forms;

static FILE *file_in(const char *folder, const char *name)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) abort();
    return file;
}

static void save(const char *folder, const char *name, const kav_text_out *out)
{
    if (out->failed || out->cut) abort();
    FILE *file = file_in(folder, name);
    if (out->len) fwrite(out->data, 1, out->len, file);
    fclose(file);
}

static void script_text(void *context, const uint8_t *text, size_t len)
{
    kav_script_feed(((forms *)context)->script, text, len);
}

static void script_end(void *context)
{
    forms *f = context;
    kav_script_end(f->script);
    f->scripts++;
}

static void data_begin(void *context, const uint8_t *type, size_t len)
{
    (void)type, (void)len;
    forms *f = context;
    char name[32];
    snprintf(name, sizeof name, "data%d", f->parts++);
    f->data = file_in(f->folder, name);
}

static void data_bytes(void *context, const uint8_t *bytes, size_t len)
{
    fwrite(bytes, 1, len, ((forms *)context)->data);
}

static void data_end(void *context)
{
    fclose(((forms *)context)->data);
}

static int write_forms(const char *page_path, const char *folder)
{
    struct stat st;
    int fd = open(page_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || mkdir(folder, 0700) != 0) return -1;
    kav_source source = {.fd = fd, .size = (uint64_t)st.st_size};
    kav_text_out page = {.limit = LIMIT}, words = {.limit = LIMIT}, script = {.limit = LIMIT};
    forms f = {.folder = folder, .script = kav_script_new(&script)};
    kav_markup_job job = {
        .page = &page,
        .words = &words,
        .script = script_text,
        .script_end = script_end,
        .data_begin = data_begin,
        .data = data_bytes,
        .data_end = data_end,
        .context = &f,
    };
    if (!f.script || kav_markup_run(&source, &job) != 0) return -1;
    save(folder, "nocomment.html", &page);
    save(folder, "notags.html", &words);
    if (f.scripts) save(folder, "javascript", &script);
    kav_script_free(f.script);
    kav_text_out_free(&page);
    kav_text_out_free(&words);
    kav_text_out_free(&script);
    close(fd);
    return 0;
}

int main(int count, char **words)
{
    char folder[PATH_ROOM];
    for (int i = 2; i < count; i++) {
        snprintf(folder, sizeof folder, "%s/%d", words[1], i - 2);
        if (write_forms(words[i], folder) != 0) return 1;
    }
    return 0;
}
