/* Launch: what one process costs from its start to its exit, measured from a process that is itself tiny.
 *
 *     launch COMMAND [ARGUMENT ...]
 *
 * Prints seconds, exit code and the largest resident set of any process of the tree that was waited for, as wait4 gives
 * it (a kernel counts the set of the process before exec too: that of a Python would hide what is to be measured).
 * Output of the command is thrown away.
 */
#define _GNU_SOURCE
#include "floor.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage used;
    int status;
    if (argc < 2) {
        fprintf(stderr, "usage: launch COMMAND [ARGUMENT ...]\n");
        return 2;
    }
    double start = now();
    pid_t child = fork();
    if (child < 0) die("fork");
    if (!child) {
        int nowhere = open("/dev/null", O_RDWR);
        if (nowhere < 0 || dup2(nowhere, 1) < 0 || dup2(nowhere, 2) < 0) _exit(127);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    if (wait4(child, &status, 0, &used) < 0) die("wait4");
    printf("{\"seconds\": %.6f, \"code\": %d, \"rss\": %ld}\n", now() - start,
           WIFEXITED(status) ? WEXITSTATUS(status) : -1, used.ru_maxrss * 1024);
    return 0;
}
