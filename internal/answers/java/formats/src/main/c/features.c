/* The native library of features.Own. No header of the JDK, so that a C compiler is enough: JNI's first two arguments are pointers, jint is int. */
int Java_features_Own_twice(void *env, void *type, int i) { return 2 * i; }
