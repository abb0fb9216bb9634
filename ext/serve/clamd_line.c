/* The commands of clamd's protocol (contract: spoken.h). */
#include <string.h>

#include "spoken.h"

enum { PATH = 1, PREFIXED = 2, IN_SESSION = 4, BARE = 8 };

typedef struct {
    char word[16];
    uint8_t verb, rules;
} row;

static const row VERBS[] = {
    {"SCAN", KAV_VERB_SCAN, PATH | IN_SESSION},
    {"CONTSCAN", KAV_VERB_CONTSCAN, PATH},
    {"MULTISCAN", KAV_VERB_MULTISCAN, PATH},
    {"ALLMATCHSCAN", KAV_VERB_ALLMATCHSCAN, PATH | PREFIXED},
    {"INSTREAM", KAV_VERB_INSTREAM, PREFIXED | IN_SESSION},
    {"FILDES", KAV_VERB_FILDES, IN_SESSION},
    {"PING", KAV_VERB_PING, IN_SESSION | BARE},
    {"VERSION", KAV_VERB_VERSION, IN_SESSION | BARE},
    {"VERSIONCOMMANDS", KAV_VERB_VERSIONCOMMANDS, PREFIXED | IN_SESSION},
    {"RELOAD", KAV_VERB_RELOAD, BARE},
    {"SHUTDOWN", KAV_VERB_SHUTDOWN, BARE},
    {"QUIT", KAV_VERB_SHUTDOWN, 0}, /* so it is in clamd */
    {"STATS", KAV_VERB_STATS, PREFIXED | IN_SESSION},
    {"IDSESSION", KAV_VERB_IDSESSION, PREFIXED},
    {"END", KAV_VERB_END, PREFIXED | IN_SESSION},
};
#define ROWS (sizeof VERBS / sizeof *VERBS)

static const row *find(const uint8_t *word, size_t len)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strlen(VERBS[i].word) == len && memcmp(VERBS[i].word, word, len) == 0) return &VERBS[i];
    return NULL;
}

/* What stands between prefix and end. */
static void read_command(const uint8_t *at, const uint8_t *end, unsigned how, kav_line *line)
{
    const uint8_t *word = at;
    while (word < end && *word != ' ' && *word != '\t') word++;
    const row *found = find(at, (size_t)(word - at));
    bool session = how & KAV_CLAMD_SESSION;
    line->verb = KAV_VERB_UNKNOWN;
    line->argument = at;
    line->argument_len = (size_t)(end - at);
    if (!found || (session && !(line->prefix && found->rules & IN_SESSION))) return;
    if (!line->prefix && found->rules & PREFIXED) return;
    if (!session && found->verb == KAV_VERB_END) return;
    if (found->rules & PATH ? word == end : word != end) return;
    const uint8_t *argument = word < end ? word + 1 : end;
    if (memchr(argument, 0, (size_t)(end - argument))) return; /* no path has one */
    line->verb = found->verb;
    line->argument = argument;
    line->argument_len = (size_t)(end - argument);
}

static const uint8_t *find_end(const uint8_t *at, size_t len, uint8_t prefix)
{
    const uint8_t *nul = prefix == 'n' ? NULL : memchr(at, 0, len);
    if (prefix == 'z') return nul;
    const uint8_t *feed = memchr(at, '\n', nul ? (size_t)(nul - at) : len);
    return feed ? feed : nul;
}

static bool bare(const uint8_t *bytes, size_t len)
{
    const row *found = find(bytes, len);
    return found && found->rules & BARE;
}

size_t kav_clamd_line(const uint8_t *bytes, size_t len, size_t most, unsigned how, size_t *seen, kav_line *line)
{
    *line = (kav_line){.verb = KAV_VERB_TOO_LONG, .end = '\n', .option = bytes, .argument = bytes};
    if (!len) return 0;
    if (*bytes == 'n' || *bytes == 'z') line->prefix = *bytes;
    if (line->prefix == 'z') line->end = 0;
    const uint8_t *end = len > *seen ? find_end(bytes + *seen, len - *seen, line->prefix) : NULL;
    size_t used = end ? (size_t)(end - bytes) + 1 : len;
    *seen = len;
    if ((end ? used - 1 : len) > most) return len;
    if (!end) {
        if (line->prefix || !(how & KAV_CLAMD_WHOLE || (!(how & KAV_CLAMD_SESSION) && bare(bytes, len)))) return 0;
        end = bytes + len;
    }
    const uint8_t *start = bytes + (line->prefix ? 1 : 0);
    while (line->end && end > start && end[-1] == '\r') end--;
    read_command(start, end, how, line);
    return used;
}
