/*
 * What the JDK's static libraries ask of the virtual machine and an image can reach. The rest of
 * the JVM interface is generated as functions that name themselves and abort.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <jni.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* jvm.h of the JDK's sources. */
#define JVM_INTERFACE_VERSION 6

/* The JDK's shared libraries that an image loads (AWT's) find these in the image's executable. */
#pragma GCC visibility push(default)

void initialize(void) {}

jint JVM_GetInterfaceVersion(void) { return JVM_INTERFACE_VERSION; }

/* Asked by AWT and its fonts alone, which are shared libraries here and load others beside them. */
jboolean JVM_IsStaticallyLinked(void) { return JNI_FALSE; }

jint JVM_ActiveProcessorCount(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return (jint)sysconf(_SC_NPROCESSORS_ONLN);
}

void *JVM_FindLibraryEntry(void *library, const char *name) { return dlsym(library, name); }

static struct timespec clock_now(clockid_t id) {
    struct timespec t = {0, 0};
    clock_gettime(id, &t);
    return t;
}

jlong JVM_CurrentTimeMillis(JNIEnv *env, jclass class) {
    (void)env, (void)class;
    struct timespec t = clock_now(CLOCK_REALTIME);
    return (jlong)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

jlong JVM_NanoTime(JNIEnv *env, jclass class) {
    (void)env, (void)class;
    struct timespec t = clock_now(CLOCK_MONOTONIC);
    return (jlong)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Nanoseconds since the epoch less offset seconds; -1 if the two are too far apart (2^32 s). */
jlong JVM_GetNanoTimeAdjustment(JNIEnv *env, jclass class, jlong offset) {
    (void)env, (void)class;
    const jlong furthest = 0x100000000LL;
    struct timespec t = clock_now(CLOCK_REALTIME);
    jlong difference;
    if (__builtin_sub_overflow((jlong)t.tv_sec, offset, &difference)) return -1;
    if (difference > furthest || difference < -furthest) return -1;
    return difference * 1000000000 + t.tv_nsec;
}

JNIEXPORT jlong JNICALL Java_java_lang_System_currentTimeMillis(JNIEnv *env, jclass class) {
    return JVM_CurrentTimeMillis(env, class);
}

JNIEXPORT jlong JNICALL Java_java_lang_System_nanoTime(JNIEnv *env, jclass class) {
    return JVM_NanoTime(env, class);
}

JNIEXPORT jlong JNICALL Java_jdk_internal_misc_VM_getNanoTimeAdjustment(JNIEnv *env, jclass class,
                                                                       jlong offset) {
    return JVM_GetNanoTimeAdjustment(env, class, offset);
}

void JVM_BeforeHalt(void) {}

void JVM_Halt(jint status) { exit(status); }

/* The text of errno; 0 if there is no error. */
int JVM_GetLastErrorString(char *buffer, int length) {
    int saved = errno;
    if (saved == 0 || length <= 0) return 0;
    const char *text = strerror(saved);
    size_t size = strlen(text);
    if (size >= (size_t)length) size = (size_t)length - 1;
    memcpy(buffer, text, size);
    buffer[size] = 0;
    return (int)size;
}

jobject JVM_GetTemporaryDirectory(JNIEnv *env) { return (*env)->NewStringUTF(env, "/tmp"); }

/* System.arraycopy, for the libraries that call it by name. */
void JVM_ArrayCopy(JNIEnv *env, jclass class, jobject from, jint from_at, jobject to, jint to_at,
                   jint length) {
    (void)class;
    jclass system = (*env)->FindClass(env, "java/lang/System");
    if (!system) return;
    jmethodID copy = (*env)->GetStaticMethodID(env, system, "arraycopy",
                                               "(Ljava/lang/Object;ILjava/lang/Object;II)V");
    if (copy) (*env)->CallStaticVoidMethod(env, system, copy, from, from_at, to, to_at, length);
}

/* As vsnprintf, but -1 when the text was cut. */
int jio_vsnprintf(char *text, size_t size, const char *format, va_list arguments) {
    if ((intptr_t)size <= 0) return -1;
    int length = vsnprintf(text, size, format, arguments);
    if (length < 0 || (size_t)length >= size) {
        text[size - 1] = 0;
        return -1;
    }
    return length;
}

int jio_snprintf(char *text, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = jio_vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return length;
}

int jio_vfprintf(FILE *file, const char *format, va_list arguments) {
    return vfprintf(file, format, arguments);
}

int jio_fprintf(FILE *file, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vfprintf(file, format, arguments);
    va_end(arguments);
    return length;
}

#pragma GCC visibility pop
