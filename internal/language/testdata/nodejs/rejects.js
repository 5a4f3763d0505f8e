Promise.reject(new Error("at load")); exports.handler = async () => { await new Promise((r) => setTimeout(r, 2000)); };
