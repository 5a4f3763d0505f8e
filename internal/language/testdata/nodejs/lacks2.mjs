import x from "does-not-exist"; export const handler = 1;
