#include "peft/cli/signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
enum { NUM_WATCHED = sizeof watched / sizeof *watched, EXIT_OF_SIGNALS = 128 };

/* The globals of the program: a signal handler has no argument to put them in. */
static atomic_int first_signal;
static atomic_bool deferred;

/* Job systems send SIGTERM to a process and to its parent, which passes it on: it may come twice and means the same. */
static void note_or_end(int signal_number)
{
    int none = 0;
    bool is_first = atomic_compare_exchange_strong(&first_signal, &none, signal_number);
    if (!atomic_load(&deferred) || (!is_first && signal_number == SIGINT)) _exit(EXIT_OF_SIGNALS + signal_number);
}

void peft_signals_watch(void)
{
    struct sigaction action = {.sa_handler = note_or_end, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    for (int k = 0; k < NUM_WATCHED; k++)
        if (sigaction(watched[k], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(watched[k], &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file beyond its limit is an error of the write, as on a full disk */
}

void peft_signals_defer(void)
{
    atomic_store(&deferred, true);
}

int peft_interrupted(void)
{
    return atomic_load(&first_signal);
}

bool peft_is_watched_signal(int signal_number)
{
    bool found = false;
    for (int k = 0; k < NUM_WATCHED; k++) found = found || watched[k] == signal_number;
    return found;
}

int peft_interrupted_exit_code(void)
{
    int signal_number = peft_interrupted();
    return EXIT_OF_SIGNALS + (signal_number ? signal_number : SIGINT);
}
