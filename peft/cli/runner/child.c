#include "peft/cli/runner/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char PROGRAM[] = "/proc/self/exe";

enum { NOT_STARTED = 127 }; /* as shells say */

/* Between fork and exec only calls that are safe in signal handlers are allowed. */
static void become(char *const *argv, int messages, int nothing, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(NOT_STARTED); /* it ended before the line above */
    if (dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 || dup2(messages, STDERR_FILENO) < 0)
        _exit(NOT_STARTED);
    execv(PROGRAM, argv);
    _exit(NOT_STARTED);
}

/* argv for exec: the strings stay the caller's, the array is new. */
static char **argv_of(const char *const *words)
{
    size_t count = 0;
    while (words[count]) count++;
    char **argv = calloc(count + 2, sizeof *argv);
    if (!argv) return NULL;
    memcpy(argv + 1, words, count * sizeof *argv);
    return argv;
}

peft_status peft_child_start(peft_child *child, const char *const *words, const char *messages, peft_error *error)
{
    static char name[] = "peft";
    *child = (peft_child){0};
    char **argv = argv_of(words);
    if (!argv) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", messages);
    argv[0] = name;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    int file = open(messages, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    peft_status status = PEFT_OK;
    pid_t parent = getpid(), pid = -1;
    if (nothing >= 0 && file >= 0) pid = fork();
    if (pid == 0) become(argv, file, nothing, parent);
    if (pid > 0)
        child->pid = pid;
    else
        status = peft_fail(error, PEFT_ERR_FILE, "%s: no process can be started: %s", messages, strerror(errno));
    if (nothing >= 0) close(nothing);
    if (file >= 0) close(file);
    free(argv);
    return status;
}

bool peft_child_ended(peft_child *child)
{
    int state = 0;
    pid_t ended = child->pid ? waitpid(child->pid, &state, WNOHANG) : 0;
    if (ended == 0) return !child->pid;
    child->pid = 0;
    child->exit_code = ended > 0 && WIFEXITED(state) ? WEXITSTATUS(state) : -1;
    child->signal = ended > 0 && WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    return true;
}

void peft_child_stop(const peft_child *child, int signal_number)
{
    if (child->pid) kill(child->pid, signal_number);
}
