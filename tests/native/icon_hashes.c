/* Prints the icons of PE files as icon signatures have them, one on each line. */
#include "icon.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void print_row(const kav_icon_spot *row, int digits)
{
    for (int i = 0; i < KAV_ICON_SPOTS; i++) printf("%0*x%02x%02x", digits, row[i].mean, row[i].x, row[i].y);
}

static void print_icon(const kav_icon_metrics *m)
{
    printf("%02x", m->side);
    print_row(m->colour, 3);
    print_row(m->gray, 3);
    print_row(m->bright, 2);
    print_row(m->dark, 2);
    print_row(m->edge, 2);
    print_row(m->even, 2);
    printf("%02x%02x%02x%02x\n", m->red, m->green, m->blue, m->coloured);
}

static int print_icons(const kav_source *source)
{
    kav_exe exe;
    kav_icons icons;
    if (kav_exe_read(&exe, source, (kav_type){.target = KAV_T_PE}) != 0) return 1;
    int rc = kav_icons_read(&icons, &exe, source);
    for (uint32_t i = 0; i < icons.count; i++) print_icon(&icons.rows[i]);
    kav_icons_free(&icons);
    kav_exe_free(&exe);
    return rc != 0;
}

int main(int count, char **names)
{
    for (int i = 1; i < count; i++) {
        struct stat st;
        int fd = open(names[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) != 0) return 1;
        kav_source source = {.fd = fd, .size = (uint64_t)st.st_size};
        printf("%s\n", names[i]);
        if (print_icons(&source) != 0) return 1;
        close(fd);
    }
    return 0;
}
