#include "tests/mirror/queue.h"

static void *serve(void *argument)
{
    mirror_queue *q = argument;
    pthread_mutex_lock(&q->mutex);
    while (true) {
        while (!q->function && !q->ends) pthread_cond_wait(&q->changed, &q->mutex);
        if (!q->function) break;
        void (*function)(void *) = q->function;
        pthread_mutex_unlock(&q->mutex);
        function(q->argument);
        pthread_mutex_lock(&q->mutex);
        q->function = NULL;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->mutex);
    return NULL;
}

bool mirror_queue_open(mirror_queue *q)
{
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->changed, NULL);
    return q->opened = pthread_create(&q->thread, NULL, serve, q) == 0;
}

void mirror_queue_close(mirror_queue *q)
{
    if (!q->opened) return;
    mirror_queue_wait(q);
    pthread_mutex_lock(&q->mutex);
    q->ends = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->mutex);
    pthread_join(q->thread, NULL);
    pthread_mutex_destroy(&q->mutex);
    pthread_cond_destroy(&q->changed);
}

void mirror_queue_give(mirror_queue *q, void (*function)(void *), void *argument)
{
    mirror_queue_wait(q);
    pthread_mutex_lock(&q->mutex);
    q->function = function;
    q->argument = argument;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->mutex);
}

void mirror_queue_wait(mirror_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    while (q->function) pthread_cond_wait(&q->changed, &q->mutex);
    pthread_mutex_unlock(&q->mutex);
}
