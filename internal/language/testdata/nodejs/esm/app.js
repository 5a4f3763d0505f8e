export const handler = async () => import.meta.url.slice(-6);
