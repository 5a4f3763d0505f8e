/*
 * Which features the x86-64 processor has, and whether it has all that an image was compiled
 * for. Bits as in the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2,
 * CPUID, and AMD's Architecture Programmer's Manual, volume 3, appendix E.
 */
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amd64cpufeatures.h"

enum { EAX, EBX, ECX, EDX };

typedef struct {
    uint32_t word[4];
} leaf;

static leaf query(uint32_t number, uint32_t sub) {
    leaf l = {{0, 0, 0, 0}};
    /* False if the processor does not have the leaf: then all words stay 0. */
    __get_cpuid_count(number, sub, &l.word[EAX], &l.word[EBX], &l.word[ECX], &l.word[EDX]);
    return l;
}

/* XCR0: the register state that the operating system saves. */
static uint64_t saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

#define BIT(leaf, register, bit) (((leaf).word[register] >> (bit)) & 1)

void determineCPUFeatures(CPUFeatures *f) {
    leaf base = query(1, 0), ext7 = query(7, 0), ext71 = query(7, 1);
    leaf amd = query(0x80000001, 0), power = query(0x80000007, 0);
    uint64_t state = BIT(base, ECX, 27) ? saved_state() : 0;
    int avx = (state & 0x06) == 0x06;     /* SSE and AVX registers */
    int avx512 = (state & 0xe6) == 0xe6;  /* and opmask, upper halves, upper registers */
    int apx = avx && (state >> 19 & 1);

    memset(f, 0, sizeof *f);
    f->fTSC = BIT(base, EDX, 4);
    f->fCX8 = BIT(base, EDX, 8);
    f->fCMOV = BIT(base, EDX, 15);
    f->fFLUSH = BIT(base, EDX, 19);
    f->fMMX = BIT(base, EDX, 23);
    f->fFXSR = BIT(base, EDX, 24);
    f->fSSE = BIT(base, EDX, 25);
    f->fSSE2 = BIT(base, EDX, 26);
    f->fHT = BIT(base, EDX, 28);
    f->fSSE3 = BIT(base, ECX, 0);
    f->fCLMUL = BIT(base, ECX, 1);
    f->fSSSE3 = BIT(base, ECX, 9);
    f->fFMA = avx && BIT(base, ECX, 12);
    f->fSSE4_1 = BIT(base, ECX, 19);
    f->fSSE4_2 = BIT(base, ECX, 20);
    f->fPOPCNT = BIT(base, ECX, 23);
    f->fAES = BIT(base, ECX, 25);
    f->fAVX = avx && BIT(base, ECX, 28);
    f->fF16C = avx && BIT(base, ECX, 29);
    f->fHV = BIT(base, ECX, 31);
    f->fVZEROUPPER = f->fAVX;

    f->fBMI1 = BIT(ext7, EBX, 3);
    f->fAVX2 = avx && BIT(ext7, EBX, 5);
    f->fBMI2 = BIT(ext7, EBX, 8);
    f->fERMS = BIT(ext7, EBX, 9);
    f->fRTM = BIT(ext7, EBX, 11);
    f->fADX = BIT(ext7, EBX, 19);
    f->fFLUSHOPT = BIT(ext7, EBX, 23);
    f->fCLWB = BIT(ext7, EBX, 24);
    f->fSHA = BIT(ext7, EBX, 29);
    f->fPKU = BIT(ext7, ECX, 3);
    f->fOSPKE = BIT(ext7, ECX, 4);
    f->fCET_SS = BIT(ext7, ECX, 7);
    f->fGFNI = BIT(ext7, ECX, 8);
    f->fRDPID = BIT(ext7, ECX, 22);
    f->fFSRM = BIT(ext7, EDX, 4);
    f->fSERIALIZE = BIT(ext7, EDX, 14);
    f->fCET_IBT = BIT(ext7, EDX, 20);
    f->fAVX512_VAES = avx && BIT(ext7, ECX, 9);
    f->fAVX512_VPCLMULQDQ = avx && BIT(ext7, ECX, 10);
    if (avx512 && BIT(ext7, EBX, 16)) {
        f->fAVX512F = 1;
        f->fAVX512DQ = BIT(ext7, EBX, 17);
        f->fAVX512_IFMA = BIT(ext7, EBX, 21);
        f->fAVX512PF = BIT(ext7, EBX, 26);
        f->fAVX512ER = BIT(ext7, EBX, 27);
        f->fAVX512CD = BIT(ext7, EBX, 28);
        f->fAVX512BW = BIT(ext7, EBX, 30);
        f->fAVX512VL = BIT(ext7, EBX, 31);
        f->fAVX512_VBMI = BIT(ext7, ECX, 1);
        f->fAVX512_VBMI2 = BIT(ext7, ECX, 6);
        f->fAVX512_VNNI = BIT(ext7, ECX, 11);
        f->fAVX512_BITALG = BIT(ext7, ECX, 12);
        f->fAVX512_VPOPCNTDQ = BIT(ext7, ECX, 14);
        f->fAVX512_FP16 = BIT(ext7, EDX, 23);
        if (BIT(ext71, EDX, 19)) {
            uint32_t version = query(0x24, 0).word[EBX] & 0xff;
            f->fAVX10_1 = version >= 1;
            f->fAVX10_2 = version >= 2;
        }
    }
    f->fSHA512 = avx && BIT(ext71, EAX, 0);
    f->fAVX_IFMA = avx && BIT(ext71, EAX, 23);
    f->fAPX_F = apx && BIT(ext71, EDX, 21);

    f->fLZCNT = BIT(amd, ECX, 5);
    f->fSSE4A = BIT(amd, ECX, 6);
    f->fAMD_3DNOW_PREFETCH = BIT(amd, ECX, 8);
    f->fRDTSCP = BIT(amd, EDX, 27);
    f->fTSCINV = f->fTSCINV_BIT = BIT(power, EDX, 8);
}

/*
 * 0 if the processor has every feature of the mask, else 1. The image stores the mask inverted:
 * the byte of a feature that it needs has its lowest bit clear, all others are 0xff.
 */
int checkCPUFeatures(const uint8_t *mask) {
    CPUFeatures host;
    determineCPUFeatures(&host);
    const uint8_t *has = (const uint8_t *)&host;
    for (size_t i = 0; i < sizeof host; i++)
        if (!(mask[i] & 1) && !has[i]) return 1;
    return 0;
}

int checkCPUFeaturesOrExit(const uint8_t *mask, const char *message) {
    if (checkCPUFeatures(mask) != 0) {
        fputs(message, stderr);
        exit(1);
    }
    return 0;
}
