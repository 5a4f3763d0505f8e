/*
 * The features of a RISC-V processor that the compiler knows, one byte each: 1 if present.
 * The builder asks the C compiler for the offsets, so only the names matter.
 */
#ifndef RISCV64CPUFEATURES_H
#define RISCV64CPUFEATURES_H

typedef struct {
    char fI, fM, fA, fF, fD, fC, fV;
} CPUFeatures;

#endif
