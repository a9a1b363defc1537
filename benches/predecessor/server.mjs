// A stand-in for the predecessor, for `make bench-api`: its libraries, its tables, and for each measured route the
// queries that it made. node server.mjs <port> <database> <redis port> <secret>

import { PrismaPg } from "@prisma/adapter-pg";
import express from "express";
import { Redis } from "ioredis";
import jwt from "jsonwebtoken";
import generated from "./node_modules/.generated/client.js";

const [port, database, redisPort, secret] = process.argv.slice(2);
const url = new URL(database);
const adapter = new PrismaPg({
  host: url.searchParams.get("host"), user: url.username, database: url.pathname.slice(1), max: 10,
});
const prisma = new generated.PrismaClient({ adapter });
const redis = new Redis(Number(redisPort));
const app = express();

async function authenticated(request, response, next) {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  let claims;
  try {
    if (scheme !== "Bearer") throw new Error("no token");
    claims = jwt.verify(token, secret, { algorithms: ["HS256"] });
  } catch {
    return response.status(401).json({ error: "Unauthorized" });
  }
  const user = await prisma.user.findUnique({ where: { id: claims.sub } });
  if (!user) return response.status(401).json({ error: "Unauthorized" });
  request.user = user;
  next();
}

app.use(express.json());

app.get("/api/auth/me", authenticated, (request, response) => {
  const { id, email, username, displayName, firstName, lastName, role } = request.user;
  response.json({ ok: true, user: { id, email, username, displayName, firstName, lastName, role } });
});

app.get("/api/servers", authenticated, async (request, response) => {
  const rows = await prisma.containerInstance.findMany({
    where: { customerId: request.user.id }, orderBy: { vmid: "asc" },
  });
  const servers = await Promise.all(rows.map(async (row) => {
    const [edge, agent] = await Promise.all([
      prisma.edgeState.findUnique({ where: { vmid: row.vmid } }),
      redis.get(`agent:${row.vmid}`),
    ]);
    const live = agent ? JSON.parse(agent) : {};
    const { game, runtime, variant, version, name } = row.payload;
    return {
      id: String(row.vmid), name: name ?? row.hostname, category: row.ctype === "game" ? "GAME" : "DEV",
      runtime: game ?? runtime, flavor: variant, version, hostname: row.hostname,
      hostStatus: live.state ? "online" : "offline", status: live.state ?? row.agentState,
      agentStatus: live.state ?? "offline", installStep: live.installStep ?? null, crashCount: row.crashCount,
      lastSeen: row.agentLastSeen, address: edge?.hostname, connection: row.payload.proxy ?? null,
    };
  }));
  response.json({ servers });
});

app.get("/api/operations/:id", authenticated, async (request, response) => {
  const row = await prisma.provisioningOperation.findUnique({ where: { id: request.params.id } });
  if (!row || row.customerId !== request.user.id) return response.status(404).json({ error: "Not found" });
  const { id, status, phase, heartbeatAt, metadata, createdAt, updatedAt } = row;
  response.json({ id, status, phase, heartbeatAt, ...metadata, createdAt, updatedAt });
});

app.listen(Number(port), "127.0.0.1", () => console.log("ready"));
