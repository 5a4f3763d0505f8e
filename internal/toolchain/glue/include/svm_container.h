/* What an image asks about the control groups that it runs in. Sizes in bytes; -1: no limit or not known. */
#ifndef SVM_CONTAINER_H
#define SVM_CONTAINER_H

#include <stdint.h>

/* The version of this interface, as com.oracle.svm.core.container.ContainerLibrary states it. */
#define SVM_CONTAINER_VERSION 240100

enum {
    SVM_CONTAINER_NOT_CONTAINED = 0,
    SVM_CONTAINER_CONTAINED = 1,
    SVM_CONTAINER_TOO_OLD = 2,
    SVM_CONTAINER_TOO_NEW = 3,
};

int svm_container_initialize(int version);
uint64_t svm_container_physical_memory(void);
int64_t svm_container_memory_limit_in_bytes(void);
int64_t svm_container_memory_and_swap_limit_in_bytes(void);
int64_t svm_container_memory_soft_limit_in_bytes(void);
int64_t svm_container_memory_usage_in_bytes(void);
int64_t svm_container_memory_max_usage_in_bytes(void);
int64_t svm_container_rss_usage_in_bytes(void);
int64_t svm_container_cache_usage_in_bytes(void);
int svm_container_active_processor_count(void);

#endif
