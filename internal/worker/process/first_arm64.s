#include "textflag.h"

// The program of the first process; see first.go. It is copied from here, so it names no address.
TEXT firstCode<>(SB),NOSPLIT|NOFRAME,$0-0
	SUB	$16, RSP
	MOVD	RSP, R19
	MOVW	ZR, (R19)
again:
	MOVD	$260, R8	// wait4
	MOVD	$-1, R0
	MOVD	R19, R1
	MOVD	ZR, R2
	MOVD	ZR, R3
	SVC
	CMP	$301, R0
	BEQ	tell
	CMN	$4, R0	// EINTR
	BEQ	again
	CMP	$0, R0
	BGE	again
tell:
	MOVD	$64, R8	// write
	MOVD	$3, R0
	MOVD	R19, R1
	MOVD	$4, R2
	SVC
	MOVD	$94, R8	// exit_group
	MOVD	ZR, R0
	SVC
	BRK

TEXT firstCodeEnd<>(SB),NOSPLIT|NOFRAME,$0-0
	RET

// func firstBounds() (begin, end uintptr)
TEXT ·firstBounds(SB),NOSPLIT,$0-16
	MOVD	$firstCode<>(SB), R0
	MOVD	R0, begin+0(FP)
	MOVD	$firstCodeEnd<>(SB), R0
	MOVD	R0, end+8(FP)
	RET
