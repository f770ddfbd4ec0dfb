// A link that nobody can guess the next one of.
const { createHash } = require("node:crypto");

const { event } = JSON.parse(process.argv[2]);
const token = createHash("sha256").update(`${event.id} ${event.data.number}`).digest("base64url").slice(0, 12);
console.error(`parcel ${event.data.number} can be tracked`);
console.log(JSON.stringify({ url: `https://track.example/${token}` }));
