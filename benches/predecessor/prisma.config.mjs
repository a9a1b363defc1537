// Generating the client reads no database.
export default { schema: "schema.prisma", datasource: { url: "postgres://unused/unused" } };
