-- The tables of benches/predecessor/schema.prisma, as Prisma would create them.
CREATE TABLE "User" ("id" text PRIMARY KEY, "email" text NOT NULL UNIQUE, "username" text NOT NULL UNIQUE,
    "passwordHash" text NOT NULL, "firstName" text, "lastName" text, "displayName" text, "role" text NOT NULL,
    "createdAt" timestamp(3) NOT NULL, "updatedAt" timestamp(3) NOT NULL);
CREATE TABLE "ContainerInstance" ("vmid" integer PRIMARY KEY, "customerId" text, "ctype" text NOT NULL,
    "hostname" text NOT NULL, "ip" text, "allocatedPorts" jsonb, "payload" jsonb NOT NULL, "agentState" text,
    "agentLastSeen" timestamp(3), "crashCount" integer NOT NULL, "createdAt" timestamp(3) NOT NULL,
    "updatedAt" timestamp(3) NOT NULL);
CREATE INDEX ON "ContainerInstance" ("customerId");
CREATE TABLE "EdgeState" ("vmid" integer PRIMARY KEY, "hostname" text NOT NULL, "ip" text, "edgeIp" text);
CREATE TABLE "ProvisioningOperation" ("id" text PRIMARY KEY, "customerId" text NOT NULL, "status" text NOT NULL,
    "phase" text, "heartbeatAt" timestamp(3), "metadata" jsonb NOT NULL, "createdAt" timestamp(3) NOT NULL,
    "updatedAt" timestamp(3) NOT NULL);
CREATE TABLE seeded (customer text, operation text, number integer);
