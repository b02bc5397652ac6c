// What programs do with node-postgres. Argument: the pool mode; "session" is right for PostgreSQL itself.
'use strict'

const assert = require('node:assert/strict')
const { pipeline } = require('node:stream/promises')
const { Readable, Writable } = require('node:stream')
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const { from: copyFrom, to: copyTo } = require('pg-copy-streams')

const mode = process.argv[2]

const cases = {
  async simple(client) {
    const { rows } = await client.query('SELECT 6 * 7 AS answer')
    assert.deepEqual(rows, [{ answer: 42 }])
    const both = await client.query('SELECT 1 AS a; SELECT 2 AS b')
    assert.deepEqual(both.map((result) => result.rows), [[{ a: 1 }], [{ b: 2 }]])
  },

  async parameters(client) {
    const { rows } = await client.query('SELECT $1::text AS a, $2::int AS b, $3::jsonb AS c', ["ä'", null, { x: [1] }])
    assert.deepEqual(rows, [{ a: "ä'", b: null, c: { x: [1] } }])
  },

  async prepared(client) {
    for (let turn = 0; turn < 20; turn++) {
      for (const name of ['one', 'two', 'three']) {
        const { rows } = await client.query({ name, text: `SELECT $1::int AS ${name}`, values: [turn] })
        assert.deepEqual(rows, [{ [name]: turn }])
      }
    }
  },

  async preparedByTwoClientsUnderOneName(client) {
    const other = new Client()
    await other.connect()
    try {
      for (let turn = 0; turn < 10; turn++) {
        const mine = await client.query({ name: 'same', text: 'SELECT $1::int + 1 AS a', values: [turn] })
        const theirs = await other.query({ name: 'same', text: "SELECT $1::text || 'x' AS a", values: [turn] })
        assert.deepEqual([mine.rows[0].a, theirs.rows[0].a], [turn + 1, `${turn}x`])
      }
    } finally {
      await other.end()
    }
  },

  async queued(client) {
    const results = await Promise.all(Array.from({ length: 100 }, (_, i) => client.query('SELECT $1::int AS i', [i])))
    assert.deepEqual(results.map(({ rows }) => rows[0].i), Array.from({ length: 100 }, (_, i) => i))
  },

  async transaction(client) {
    await client.query('CREATE TABLE IF NOT EXISTS node_values (a int)')
    await client.query('BEGIN')
    await client.query('INSERT INTO node_values VALUES ($1)', [1])
    await client.query('ROLLBACK')
    const { rows } = await client.query('SELECT count(*)::int AS n FROM node_values')
    assert.deepEqual(rows, [{ n: 0 }])
  },

  async errorThenGoOn(client) {
    for (const [text, code] of [['SELECT 1/0', '22012'], ['SELEC', '42601'], ['SELECT * FROM missing', '42P01']]) {
      await assert.rejects(client.query(text), { code })
      await assert.rejects(client.query({ name: text, text, values: [] }), { code })
      assert.equal((await client.query('SELECT 1 AS a')).rows[0].a, 1)
    }
  },

  async cursor(client) {
    await client.query('BEGIN')
    const cursor = client.query(new Cursor('SELECT generate_series(1, $1::int) AS i', [1000]))
    let total = 0
    for (;;) {
      const rows = await cursor.read(100)
      if (rows.length === 0) break
      for (const { i } of rows) total += i
    }
    assert.equal(total, 500500)
    await cursor.close()
    await client.query('COMMIT')
  },

  async copyInAndOut(client) {
    await client.query('CREATE TABLE IF NOT EXISTS node_copied (a int, b text)')
    await client.query('TRUNCATE node_copied')
    const lines = Array.from({ length: 5000 }, (_, i) => `${i}\t${'x'.repeat(i % 50)}\n`)
    await pipeline(Readable.from(lines), client.query(copyFrom('COPY node_copied FROM STDIN')))
    const chunks = []
    const sink = new Writable({ write(chunk, _, done) { chunks.push(chunk); done() } })
    await pipeline(client.query(copyTo('COPY (SELECT * FROM node_copied ORDER BY a) TO STDOUT')), sink)
    assert.equal(Buffer.concat(chunks).toString(), lines.join(''))
  },

  async cancel(client) {
    const { Query } = require('pg')
    const query = new Query('SELECT pg_sleep(20)')
    const failure = new Promise((resolve) => query.on('error', resolve))
    client.query(query)
    setTimeout(() => new Client().cancel(client, query), 100)
    assert.equal((await failure).code, '57014')
    assert.equal((await client.query('SELECT 1 AS a')).rows[0].a, 1)
  },

  async severalAtOnce() {
    const pool = new Pool({ max: mode === 'session' ? 3 : 12 })
    const work = async (number) => {
      const client = await pool.connect()
      for (let turn = 0; turn < 20; turn++) {
        const text = 'SELECT $1::int AS a'
        const { rows } = await client.query({ name: 'several', text, values: [number * 1000 + turn] })
        assert.equal(rows[0].a, number * 1000 + turn)
      }
      client.release()
    }
    await Promise.all(Array.from({ length: 30 }, (_, number) => work(number)))
    await pool.end()
  },

  async listen(client) {
    if (mode !== 'session') return
    const heard = new Promise((resolve) => client.on('notification', resolve))
    await client.query('LISTEN node_news')
    const other = new Client()
    await other.connect()
    await other.query("SELECT pg_notify('node_news', 'hello')")
    await other.end()
    assert.equal((await heard).payload, 'hello')
  },
}

async function main() {
  let failed = 0
  for (const [name, run] of Object.entries(cases)) {
    const client = new Client()
    try {
      await client.connect()
      await run(client)
      console.log('ok', name)
    } catch (error) {
      failed++
      console.log('FAILED', name)
      console.error(error)
    }
    await client.end()
  }
  process.exit(failed ? 1 : 0)
}

main()
