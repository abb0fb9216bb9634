/* The lines of the aveserver protocol (contract: spoken.h). */
#include <string.h>
#include <strings.h>

#include "spoken.h"

size_t kav_ave_strip(uint8_t *bytes, size_t len)
{
    uint8_t *first = len ? memchr(bytes, 0, len) : NULL;
    if (!first) return len;
    size_t kept = (size_t)(first - bytes);
    for (size_t i = kept; i < len; i++)
        if (bytes[i]) bytes[kept++] = bytes[i];
    return kept;
}

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void scan(const uint8_t *at, const uint8_t *end, kav_line *line)
{
    const uint8_t *word = at;
    while (word < end && letter(*word)) word++;
    line->verb = KAV_VERB_SCAN;
    if (word == end || blank(*word)) {
        line->option = at;
        line->option_len = (size_t)(word - at);
        for (at = word; at < end && blank(*at);) at++;
    }
    line->argument = at;
    line->argument_len = (size_t)(end - at);
}

static void read_line(const uint8_t *at, const uint8_t *end, kav_line *line)
{
    while (at < end && end[-1] == '\r') end--;
    while (at < end && blank(*at)) at++;
    const uint8_t *verb = at;
    while (at < end && !blank(*at)) at++;
    size_t len = (size_t)(at - verb);
    const uint8_t *rest = at;
    while (rest < end && blank(*rest)) rest++;
    line->argument = verb;
    line->argument_len = (size_t)(end - verb);
    if (!line->argument_len) line->verb = KAV_VERB_NONE;
    else if (len == 4 && strncasecmp((const char *)verb, "SCAN", 4) == 0) scan(rest, end, line);
    else if (len == 4 && rest == end && strncasecmp((const char *)verb, "QUIT", 4) == 0) line->verb = KAV_VERB_QUIT;
    else line->verb = KAV_VERB_UNKNOWN;
}

size_t kav_ave_line(const uint8_t *bytes, size_t len, size_t most, size_t *seen, kav_line *line)
{
    const uint8_t *end = len > *seen ? memchr(bytes + *seen, '\n', len - *seen) : NULL;
    *line = (kav_line){.verb = KAV_VERB_TOO_LONG, .option = bytes, .argument = bytes};
    *seen = len;
    if ((end ? (size_t)(end - bytes) : len) > most) return len;
    if (!end) return 0;
    read_line(bytes, end, line);
    return (size_t)(end - bytes) + 1;
}
