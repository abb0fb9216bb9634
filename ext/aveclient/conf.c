/* The one key of kavfs.conf that concerns a client (contract: conf.h; the format: kavfs/config/ini.py). */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "conf.h"

/* A line without blanks around it; those that end with a backslash are one with the next. -1: no more. */
static ssize_t read_whole(FILE *file, char **line, size_t *room)
{
    ssize_t len = getline(line, room, file);
    while (len > 0) {
        while (len && ((*line)[len - 1] == '\n' || (*line)[len - 1] == '\r')) len--;
        if (!len || (*line)[len - 1] != '\\' || strchr("#;[", **line)) break;
        char *next = NULL;
        size_t next_room = 0;
        ssize_t added = getline(&next, &next_room, file);
        char *longer = added > 0 ? realloc(*line, (size_t)(len + added)) : NULL;
        if (longer) {
            memcpy(longer + len - 1, next, (size_t)added + 1);
            *line = longer;
            *room = (size_t)(len + added);
        }
        free(next);
        len = longer ? len - 1 + added : len - 1;
        if (!longer) break;
    }
    return len;
}

static char *trimmed(char *text, size_t len)
{
    while (len && isspace((unsigned char)text[len - 1])) len--;
    text[len] = 0;
    while (isspace((unsigned char)*text)) text++;
    return text;
}

/* What stands between quotes, if it all does. */
static char *unquoted(char *value)
{
    size_t len = strlen(value);
    if (len < 2 || value[0] != '"' || value[len - 1] != '"') return value;
    char *to = value, *from = value + 1, *end = value + len - 1;
    while (from < end) {
        if (*from == '\\' && from + 1 < end && (from[1] == '"' || from[1] == '\\')) from++;
        *to++ = *from++;
    }
    *to = 0;
    return value;
}

typedef struct {
    const char *section, *key;
    bool inside;
} place;

/* Whether this line is the key; then its value is in *value. */
static bool is_key(char *line, place *at, char **value)
{
    if (*line == '[') {
        size_t len = strlen(line);
        if (line[len - 1] == ']') at->inside = strcmp(trimmed(line + 1, len - 2), at->section) == 0;
        return false;
    }
    char *equals = strchr(line, '=');
    if (!at->inside || !equals || *line == '#' || *line == ';') return false;
    *value = unquoted(trimmed(equals + 1, strlen(equals + 1)));
    return strcasecmp(trimmed(line, (size_t)(equals - line)), at->key) == 0;
}

int conf_path(const char *conf, const char *section, const char *key, char *into, size_t room)
{
    FILE *file = fopen(conf, "re");
    if (!file) return -1;
    char *line = NULL, *value = NULL;
    size_t line_room = 0;
    place at = {section, key, false};
    int found = 0;
    for (ssize_t len; !found && (len = read_whole(file, &line, &line_room)) >= 0;)
        if (is_key(trimmed(line, (size_t)len), &at, &value)) {
            size_t used = strlen(value);
            found = used < room && *value == '/' ? CONF_PATH : CONF_OTHER;
            if (found == CONF_PATH) memcpy(into, value, used + 1);
        }
    free(line);
    int error = ferror(file) ? EIO : 0;
    fclose(file);
    errno = error;
    return error ? -1 : found;
}
