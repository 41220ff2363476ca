#include "peft/cli/signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

/* The one global of the program: a signal handler has no argument to put it in. */
static atomic_int presses;

static void stop(int signal_number)
{
    (void)signal_number;
    if (atomic_fetch_add(&presses, 1) > 0) _exit(PEFT_EXIT_INTERRUPTED);
}

void peft_signals_watch(void)
{
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool peft_interrupted(void)
{
    return atomic_load(&presses) > 0;
}
