#include "ops/cpu/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A look for work that finds none costs about half a microsecond, and waking a sleeping thread some ten. */
enum { LOOKS = 200 };

typedef struct worker {
    peft_team *team;
    pthread_t thread;
    int index;
} worker;

struct peft_team {
    int num_workers; /* started threads, besides the caller */
    worker *workers;

    /* The loop that runs. Written while nobody is inside. */
    peft_team_function *run;
    void *argument;
    int64_t pieces;
    atomic_int_least64_t next; /* piece that nobody has taken */

    pthread_mutex_t lock;       /* of what follows; the atomic ones are looked at without it */
    pthread_cond_t begun, left; /* `round` was raised; `inside` became 0 */
    atomic_uint round;          /* loops begun */
    atomic_int inside;          /* workers that have entered the loop and not left it */
    bool open, closing;         /* open: workers may enter; who comes late does not hold up the others */
};

static void take_pieces(peft_team *t, int thread)
{
    for (int64_t piece; (piece = atomic_fetch_add(&t->next, 1)) < t->pieces;) t->run(t->argument, piece, thread);
}

/* Waits for a round after `seen` and enters its loop if that is still open. */
static void wait_for_round(peft_team *t, unsigned *seen, bool *entered, bool *closing)
{
    for (int look = 0; look < LOOKS && atomic_load(&t->round) == *seen; look++) sched_yield();
    pthread_mutex_lock(&t->lock);
    while (atomic_load(&t->round) == *seen) pthread_cond_wait(&t->begun, &t->lock);
    *seen = atomic_load(&t->round);
    *entered = t->open;
    *closing = t->closing;
    if (t->open) atomic_fetch_add(&t->inside, 1);
    pthread_mutex_unlock(&t->lock);
}

static void leave(peft_team *t)
{
    pthread_mutex_lock(&t->lock);
    if (atomic_fetch_sub(&t->inside, 1) == 1) pthread_cond_signal(&t->left);
    pthread_mutex_unlock(&t->lock);
}

static void *work(void *argument)
{
    worker *w = argument;
    unsigned seen = 0;
    for (bool entered, closing;;) {
        wait_for_round(w->team, &seen, &entered, &closing);
        if (closing) return NULL;
        if (!entered) continue;
        take_pieces(w->team, w->index);
        leave(w->team);
    }
}

static void begin_round(peft_team *t, bool closing)
{
    pthread_mutex_lock(&t->lock);
    t->open = !closing;
    t->closing = closing;
    atomic_fetch_add(&t->round, 1);
    pthread_cond_broadcast(&t->begun);
    pthread_mutex_unlock(&t->lock);
}

static void end_round(peft_team *t)
{
    pthread_mutex_lock(&t->lock);
    t->open = false;
    pthread_mutex_unlock(&t->lock);
    for (int look = 0; look < LOOKS && atomic_load(&t->inside) > 0; look++) sched_yield();
    pthread_mutex_lock(&t->lock);
    while (atomic_load(&t->inside) > 0) pthread_cond_wait(&t->left, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

peft_status peft_team_open(peft_team **team, int threads, peft_error *error)
{
    *team = NULL;
    peft_team *t = calloc(1, sizeof *t);
    worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!t || !workers) {
        free(t);
        free(workers);
        return peft_fail(error, PEFT_ERR_MEMORY, "threads: out of memory for %d", threads);
    }
    t->workers = workers;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->begun, NULL);
    pthread_cond_init(&t->left, NULL);
    for (; t->num_workers < threads - 1; t->num_workers++) {
        worker *w = &workers[t->num_workers];
        *w = (worker){.team = t, .index = t->num_workers + 1};
        int code = pthread_create(&w->thread, NULL, work, w);
        if (code != 0) {
            peft_team_close(t);
            return peft_fail(error, PEFT_ERR_MEMORY, "threads: the system gives %d of %d: %s", w->index, threads,
                             strerror(code));
        }
    }
    *team = t;
    return PEFT_OK;
}

void peft_team_close(peft_team *t)
{
    if (!t) return;
    begin_round(t, true);
    for (int k = 0; k < t->num_workers; k++) pthread_join(t->workers[k].thread, NULL);
    pthread_cond_destroy(&t->left);
    pthread_cond_destroy(&t->begun);
    pthread_mutex_destroy(&t->lock);
    free(t->workers);
    free(t);
}

void peft_team_run(peft_team *t, int64_t pieces, peft_team_function *run, void *argument)
{
    if (t->num_workers == 0 || pieces <= 1) {
        for (int64_t piece = 0; piece < pieces; piece++) run(argument, piece, 0);
        return;
    }
    t->run = run;
    t->argument = argument;
    t->pieces = pieces;
    atomic_store(&t->next, 0);
    begin_round(t, false);
    take_pieces(t, 0);
    end_round(t);
}
