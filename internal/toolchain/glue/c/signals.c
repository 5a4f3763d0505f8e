/*
 * Delivery of POSIX signals to the Java thread that runs sun.misc.Signal handlers. The C handler
 * counts the signal and posts a semaphore: both are allowed in a signal handler. The Java thread
 * waits for the semaphore and takes one pending signal each time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

static sem_t posted;
static atomic_int opened;
static atomic_uint pending[NSIG];

int cSunMiscSignal_open(void) {
    int closed = 0;
    if (!atomic_compare_exchange_strong(&opened, &closed, 1)) {
        errno = EBUSY;
        return -1;
    }
    for (int i = 0; i < NSIG; i++) atomic_store(&pending[i], 0);
    if (sem_init(&posted, 0, 0) != 0) {
        atomic_store(&opened, 0);
        return -1;
    }
    return 0;
}

int cSunMiscSignal_close(void) {
    int open = 1;
    if (!atomic_compare_exchange_strong(&opened, &open, 0)) {
        errno = EINVAL;
        return -1;
    }
    return sem_destroy(&posted);
}

int cSunMiscSignal_awaitSemaphore(void) {
    int status;
    do {
        status = sem_wait(&posted);
    } while (status != 0 && errno == EINTR);
    return status;
}

int cSunMiscSignal_signalSemaphore(void) { return sem_post(&posted); }

int cSunMiscSignal_signalRangeCheck(int signal) { return signal > 0 && signal < NSIG; }

/* The number of a signal that was pending and now is so once less, or -1. */
int cSunMiscSignal_checkPendingSignal(void) {
    for (int i = 1; i < NSIG; i++) {
        unsigned count = atomic_load(&pending[i]);
        while (count > 0)
            if (atomic_compare_exchange_weak(&pending[i], &count, count - 1)) return i;
    }
    return -1;
}

static void arrived(int signal) {
    int saved = errno;
    if (atomic_load(&opened) && signal > 0 && signal < NSIG) {
        atomic_fetch_add(&pending[signal], 1);
        sem_post(&posted);
    }
    errno = saved;
}

void (*cSunMiscSignal_signalHandlerFunctionPointer(void))(int) { return arrived; }
