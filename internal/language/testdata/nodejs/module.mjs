import dep from 'dep';
import { createRequire } from 'module';
const require = createRequire(import.meta.url);
const later = await Promise.resolve(1);
export const handler = async (event) => [event, later, dep, typeof require('fs').readFileSync];
export default { handler: async () => 'default' };
