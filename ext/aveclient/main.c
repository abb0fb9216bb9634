/* Options of aveclient, the files in their order, the exit code. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aveclient.h"
#include "conf.h"

#ifndef KAV_VERSION
#define KAV_VERSION "0"
#endif
#define USUAL_CONF   "/etc/kavfs/kavfs.conf"
#define USUAL_SOCKET "/run/kavfs/aveserver"

enum {
    USUAL_SECONDS = 300, /* longer than the server gives itself */
    MOST_SECONDS = 86400,
    SOCKET_MAX = 4096
};

static const char help[] = "usage: aveclient [-p SOCKET] [-t SECONDS] -s FILE ...\n"
                           "\n"
                           "  -s             scan the files, which aveserver opens with your rights\n"
                           "  -p SOCKET      socket of aveserver\n"
                           "  -c FILE        take the socket from this configuration\n"
                           "  -t SECONDS     how long to wait for the answer about one file (300)\n"
                           "  -v, --version  show the version and end\n"
                           "  -h, --help     show this and end\n"
                           "\n"
                           "Without -p: LocalSocketPath of " USUAL_CONF ", or " USUAL_SOCKET ".\n";

typedef struct {
    char *const *files; /* as they were given */
    int count;
    bool scan;
    const char *socket, *conf;
    unsigned seconds;
    int done; /* -1, or the exit code: nothing is left to do */
} options;

typedef struct {
    ave_wire wire;
    char path[PATH_MAX], asked[PATH_MAX]; /* of the file in hand; of the one that is asked next */
    char names[AVE_NAMES_MAX];            /* each with a NUL behind it */
    size_t names_len;
    char folder[PATH_MAX]; /* where we are, "" = "/" */
    bool placed;           /* that has a name */
    const char *lost;      /* why there will be no more answers */
    unsigned how;
} session;

static void complain(const char *what, const char *why)
{
    unsigned how = isatty(STDERR_FILENO) ? 0 : AVE_SHOWN_PIPE;
    fputs("aveclient: ", stderr);
    ave_show(stderr, what, strlen(what), how);
    fputs(": ", stderr);
    ave_show(stderr, why, strlen(why), how | AVE_SHOWN_BACKSLASH);
    putc('\n', stderr);
}

static int usage(const char *what, const char *why)
{
    complain(what, why);
    fputs("try aveclient -h\n", stderr);
    return AVE_EXIT_USAGE;
}

static unsigned read_seconds(const char *text)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || end == text || *end || value < 1 || value > MOST_SECONDS ? 0 : (unsigned)value;
}

/* What getopt complains of: a letter, or the whole word. */
static const char *option_name(const char *word, char into[3])
{
    if (!optopt || strncmp(word, "--", 2) == 0) return word;
    memcpy(into, (char[]){'-', (char)optopt, 0}, 3);
    return into;
}

/* A leading '-' among the letters: words that are no options come as option 1, wherever they stand. */
static options read_options(int argc, char **argv, char **files)
{
    static const struct option words[] = {{"help", 0, NULL, 'h'}, {"version", 0, NULL, 'v'}, {NULL, 0, NULL, 0}};
    options wanted = {.files = files, .seconds = USUAL_SECONDS, .done = -1};
    char into[3];
    for (int letter; (letter = getopt_long(argc, argv, "-:sp:c:t:vh", words, NULL)) != -1;) switch (letter) {
        case 1: files[wanted.count++] = optarg; break;
        case 's': wanted.scan = true; break;
        case 'p': wanted.socket = optarg; break;
        case 'c': wanted.conf = optarg; break;
        case 't':
            wanted.seconds = read_seconds(optarg);
            if (!wanted.seconds) wanted.done = usage(optarg, "not a number of seconds");
            break;
        case 'v':
            fputs("aveclient " KAV_VERSION "/RELEASE build #1\n", stdout);
            wanted.done = AVE_EXIT_OK;
            break;
        case 'h':
            fputs(help, stdout);
            wanted.done = AVE_EXIT_OK;
            break;
        case ':': wanted.done = usage(option_name(argv[optind - 1], into), "something is missing behind it"); break;
        default: wanted.done = usage(option_name(argv[optind - 1], into), "unknown option");
        }
    while (optind < argc) files[wanted.count++] = argv[optind++];
    if (wanted.done < 0 && !wanted.scan) wanted.done = usage("option -s", "missing");
    if (wanted.done < 0 && !wanted.count) wanted.done = usage("files", "none is named");
    return wanted;
}

/* The file's whole name in `into`. NULL, or why it cannot be asked for. */
static const char *whole_name(const session *s, const char *file, char *into)
{
    bool relative = *file != '/';
    size_t folder = relative ? strlen(s->folder) : 0, len = strlen(file);
    if (!len) return "the name is empty";
    if (relative && !s->placed) return "where it lies has no name";
    if (folder + 1 + len >= PATH_MAX) return strerror(ENAMETOOLONG);
    if (strchr(file, '\n') || (relative && strchr(s->folder, '\n')) || file[len - 1] == '\r')
        return "its name breaks the line";
    memcpy(into, s->folder, folder);
    if (relative) into[folder++] = '/';
    memcpy(into + folder, file, len + 1);
    return NULL;
}

static void show(const session *s, const char *text, size_t len, unsigned how)
{
    ave_show(stdout, text, len, s->how | how);
}

static int tell(const session *s, ave_outcome outcome)
{
    show(s, s->path, strlen(s->path), 0);
    printf(" %s\n", outcome.word);
    for (const char *name = s->names; name < s->names + s->names_len; name += strlen(name) + 1) {
        printf("L%s ", outcome.word);
        show(s, name, strlen(name), AVE_SHOWN_BACKSLASH);
        putchar('\n');
    }
    return outcome.exit_code;
}

static int tell_error(const session *s, int exit_code, const char *why)
{
    show(s, s->path, strlen(s->path), 0);
    fputs(" ERROR\n", stdout);
    fflush(stdout);
    complain(s->path, why);
    return exit_code;
}

static void keep_name(session *s, const char *name, size_t len)
{
    if (len >= AVE_NAMES_MAX - s->names_len) return; /* there are others, or it is none */
    memcpy(s->names + s->names_len, name, len);
    s->names[s->names_len + len] = 0;
    s->names_len += len + 1;
}

/* Reads the answer about the file in hand. */
static int answer(session *s)
{
    bool named = false;
    s->names_len = 0;
    for (;;) {
        const char *line;
        size_t len;
        ave_reply reply;
        s->lost = ave_line(&s->wire, &line, &len);
        if (s->lost) return tell_error(s, AVE_EXIT_NO_SERVER, s->lost);
        if (!ave_read(line, len, &reply)) {
            s->lost = "the server does not speak aveserver's protocol";
            return tell_error(s, AVE_EXIT_NO_SERVER, s->lost);
        }
        if (ave_tells(&reply)) {
            named |= reply.code == 322;
            if (reply.code == 322 && ave_name(&reply)) keep_name(s, reply.text, ave_name(&reply));
            continue;
        }
        ave_answered(&s->wire);
        ave_outcome outcome = ave_judge(&reply, named);
        if (!outcome.error) {
            if (outcome.exit_code >= AVE_EXIT_WARNING && outcome.exit_code <= AVE_EXIT_INFECTED && !s->names_len)
                keep_name(s, "unnamed", strlen("unnamed"));
            return tell(s, outcome);
        }
        char why[200];
        snprintf(why, sizeof why, "%d %.*s", reply.code, reply.len < 190 ? (int)reply.len : 190, reply.text);
        if (reply.more) s->lost = "the server does not speak aveserver's protocol";
        return tell_error(s, outcome.exit_code, why);
    }
}

/* The line that the server begins with. */
static const char *greeting(ave_wire *wire)
{
    const char *line, *lost;
    size_t len;
    ave_reply reply;
    if ((lost = ave_line(wire, &line, &len))) return lost;
    if (!ave_read(line, len, &reply)) return "it does not speak aveserver's protocol";
    if (reply.code == 401) return "it is busy";
    if (reply.code != 201 || reply.more) return "it does not greet as aveserver does";
    ave_answered(wire);
    return NULL;
}

/* Of several codes that of the last file counts, but no clean file hides one that was not scanned. */
static int together(int before, int last)
{
    bool harmless = last == AVE_EXIT_OK || last == AVE_EXIT_CURED || last == AVE_EXIT_PROTECTED;
    bool failed = before == AVE_EXIT_NO_SERVER || before == AVE_EXIT_FAILED;
    return failed && (harmless || last == AVE_EXIT_CORRUPTED) ? before : last;
}

static int scan(session *s, const options *wanted)
{
    int code = AVE_EXIT_OK, next = 0;
    for (int i = 0; i < wanted->count; i++) {
        for (; next < wanted->count && !s->lost; next++)
            if (!whole_name(s, wanted->files[next], s->asked) && !ave_ask(&s->wire, s->asked)) break;
        const char *why = whole_name(s, wanted->files[i], s->path);
        if (why) snprintf(s->path, sizeof s->path, "%s", wanted->files[i]);
        int one = why       ? tell_error(s, AVE_EXIT_FAILED, why)
                  : s->lost ? tell_error(s, AVE_EXIT_NO_SERVER, s->lost)
                            : answer(s);
        code = together(code, one);
    }
    return code;
}

/* The socket's place: that of the option, of the configuration, or the usual one. NULL: errno. */
static const char *place(const options *wanted, char *room)
{
    if (wanted->socket) return wanted->socket;
    int found = conf_path(wanted->conf ? wanted->conf : USUAL_CONF, "path", "LocalSocketPath", room, SOCKET_MAX);
    if (found < 0 && wanted->conf) return NULL;
    return found == CONF_PATH ? room : USUAL_SOCKET;
}

static int run(session *s, const options *wanted)
{
    char room[SOCKET_MAX];
    const char *socket = place(wanted, room);
    if (!socket) {
        complain(wanted->conf, strerror(errno));
        return AVE_EXIT_FAILED;
    }
    s->placed = getcwd(s->folder, sizeof s->folder) && *s->folder == '/';
    if (strcmp(s->folder, "/") == 0) *s->folder = 0;
    s->how = isatty(STDOUT_FILENO) ? 0 : AVE_SHOWN_PIPE;
    const char *error = ave_connect(&s->wire, socket, wanted->seconds);
    if (!error) error = greeting(&s->wire);
    int code = AVE_EXIT_NO_SERVER;
    if (error) complain(socket, error);
    else code = scan(s, wanted);
    ave_bye(&s->wire);
    return code;
}

int main(int argc, char **argv)
{
    char **files = calloc((size_t)argc + 1, sizeof *files);
    session *s = calloc(1, sizeof *s);
    int code = AVE_EXIT_FAILED;
    if (files && s) {
        options wanted = read_options(argc, argv, files);
        code = wanted.done >= 0 ? wanted.done : run(s, &wanted);
    }
    free(s);
    free(files);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("standard output", strerror(errno));
        return AVE_EXIT_FAILED;
    }
    return code;
}
