console.log("loading"); throw new TypeError("at load");
