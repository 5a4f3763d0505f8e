require("does-not-exist"); exports.handler = 1;
