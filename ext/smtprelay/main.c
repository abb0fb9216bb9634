/* Words, the daemon's place, the exit code (contract: smtprelay.h). */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "conf.h"
#include "smtprelay.h"

#define USUAL_CONF   "/etc/kavfs/kavfs.conf"
#define USUAL_SOCKET "/run/kavfs/smtpscanner"
#define PROGRAM      "kavfs-smtpscanner" /* beside us: the same in Python, and the daemon */

enum { PATIENCE = 30 }; /* seconds for a place in the daemon's queue of connections */

/* Postfix's spawn(8) gives one socket for all three: what is written to stderr would be part of the conversation. */
static bool stderr_is_stdout(void)
{
    struct stat out, err;
    return fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev &&
           out.st_ino == err.st_ino && !isatty(STDERR_FILENO);
}

static void complain(const char *what, const char *why)
{
    if (stderr_is_stdout()) syslog(LOG_MAIL | LOG_ERR, "smtpscanner: %s: %s", what, why);
    else fprintf(stderr, "smtpscanner: %s: %s\n", what, why);
}

static int fail(const char *what, const char *why)
{
    static const char sorry[] = "421 4.3.2 Mail cannot be looked at now, try again later\r\n";
    complain(what, why);
    if (write(STDOUT_FILENO, sorry, sizeof sorry - 1) < 0) complain("standard output", strerror(errno));
    return RELAY_TEMPORARY;
}

/* Becomes the program in Python; only returns if that cannot be. */
static int become(char **argv, bool conversing)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - sizeof PROGRAM);
    char *slash = len > 0 ? memrchr(path, '/', (size_t)len) : NULL;
    if (slash) {
        memcpy(slash + 1, PROGRAM, sizeof PROGRAM);
        execv(path, argv);
    }
    if (conversing) return fail(PROGRAM, strerror(errno));
    complain(PROGRAM, strerror(errno));
    return RELAY_TEMPORARY;
}

/* Whether words ask for one conversation and nothing else. *conf*: the configuration that they name. */
static bool is_conversation(char **argv, const char **conf)
{
    for (char **word = argv + 1; *word; word++) {
        if (strncmp(*word, "-c", 2) != 0) return false;
        if ((*word)[2]) *conf = *word + 2;
        else if (word[1]) *conf = *++word;
        else return false;
    }
    return true;
}

/* The daemon's socket, in `into`. False: there is none, or (errno) it cannot be said where. */
static bool find(const char *conf, char *into, size_t room)
{
    int found = conf_path(conf ? conf : USUAL_CONF, "smtpscan.path", "SocketPath", into, room);
    if (found == CONF_NONE || (found < 0 && !conf)) snprintf(into, room, "%s", USUAL_SOCKET);
    if (found < 0 && conf) return false;
    errno = 0;
    return found != CONF_OTHER;
}

/* A connection, or -1: errno. */
static int reach(const char *path)
{
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE};
    size_t len = strlen(path);
    if (len >= sizeof place.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(place.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* connect() waits for a place in the queue */
    if (connect(fd, (struct sockaddr *)&place, sizeof place) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int main(int argc, char **argv)
{
    const char *conf = NULL;
    char path[PATH_MAX];
    (void)argc;
    if (!is_conversation(argv, &conf)) return become(argv, false);
    if (!find(conf, path, sizeof path)) return errno ? fail(conf, strerror(errno)) : become(argv, true);
    int daemon = reach(path);
    if (daemon < 0 && (errno == ENOENT || errno == ECONNREFUSED)) return become(argv, true); /* no daemon is running */
    if (daemon < 0) return fail(path, strerror(errno));
    signal(SIGPIPE, SIG_IGN);
    switch (join(STDIN_FILENO, STDOUT_FILENO, daemon)) {
    case JOIN_DONE: return RELAY_OK;
    case JOIN_SILENT: return fail(path, "the daemon went away");
    default: return RELAY_TEMPORARY;
    }
}
