/* What a line of the server means (contract: aveclient.h). */
#include <string.h>

#include "aveclient.h"

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

bool ave_read(const char *line, size_t len, ave_reply *reply)
{
    if (len < 3 || line[0] == '0' || !digit(line[0]) || !digit(line[1]) || !digit(line[2])) return false;
    if (len > 3 && line[3] != ' ' && line[3] != '-') return false;
    if (memchr(line, 0, len)) return false;
    reply->code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    reply->more = len > 3 && line[3] == '-';
    reply->text = len > 3 ? line + 4 : line + len;
    reply->len = len > 3 ? len - 4 : 0;
    return true;
}

bool ave_tells(const ave_reply *reply)
{
    return reply->code / 100 == 3;
}

size_t ave_name(const ave_reply *reply)
{
    const char *blank = reply->len ? memchr(reply->text, ' ', reply->len) : NULL;
    return blank ? (size_t)(blank - reply->text) : reply->len;
}

/* Exit code 8 would be the product's for 241, but mail filters let 8 pass: what was not scanned is 7. */
ave_outcome ave_judge(const ave_reply *reply, bool named)
{
    if (!reply->more) switch (reply->code) {
        case 221: return (ave_outcome){"CURED", AVE_EXIT_CURED, false};
        case 230:
        case 231: return (ave_outcome){"INFECTED", AVE_EXIT_INFECTED, false};
        case 232: return (ave_outcome){"SUSPICION", AVE_EXIT_SUSPICION, false};
        case 233: return (ave_outcome){"WARNING", AVE_EXIT_WARNING, false};
        }
    if (named) return (ave_outcome){"INFECTED", AVE_EXIT_INFECTED, false}; /* whatever the end says */
    if (!reply->more) switch (reply->code) {
        case 220: return (ave_outcome){"OK", AVE_EXIT_OK, false};
        case 234: return (ave_outcome){"CORRUPTED", AVE_EXIT_CORRUPTED, false};
        case 240: return (ave_outcome){"PROTECTED", AVE_EXIT_PROTECTED, false};
        }
    bool of_the_file = reply->code == 241 || reply->code / 100 == 5;
    return (ave_outcome){"ERROR", of_the_file ? AVE_EXIT_FAILED : AVE_EXIT_NO_SERVER, true};
}
