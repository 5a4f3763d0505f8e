/*
 * The features of a AArch64 processor that the compiler knows, one byte each: 1 if present.
 * The builder asks the C compiler for the offsets, so only the names matter.
 */
#ifndef AARCH64CPUFEATURES_H
#define AARCH64CPUFEATURES_H

typedef struct {
    char fFP, fASIMD, fEVTSTRM, fAES, fPMULL, fSHA1, fSHA2, fCRC32, fLSE, fDCPOP, fSHA3,
        fSHA512, fSVE, fSVE2, fSTXR_PREFETCH, fA53MAC, fDMB_ATOMICS, fPACA, fSVEBITPERM,
        fFPHP, fASIMDHP;
} CPUFeatures;

#endif
