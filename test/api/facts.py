#!/usr/bin/env python3
"""Compares a server's API with tables of what Kubernetes serves (test/api/data): resources, columns of tables, defaults,
and the fields of the OpenAPI v3 documents. Prints TAP.

    facts.py URL CA CERT KEY DATA-DIRECTORY
"""
import http.client
import json
import re
import ssl
import sys
import urllib.parse

URL, CA, CERT, KEY, DATA = sys.argv[1:6]
TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'
# Groups of this server's own, and versions that old clients ask for.
OWN_GROUPS = ('kubevirt.io', 'subresources.kubevirt.io', 'snapshot.kubevirt.io', 'clone.kubevirt.io', 'export.kubevirt.io',
              'instancetype.kubevirt.io', 'pool.kubevirt.io', 'cdi.kubevirt.io', 'upload.cdi.kubevirt.io', 'k8s.cni.cncf.io',
              'hanok.io', 'metrics.k8s.io')
OLD_VERSIONS = ('authentication.k8s.io/v1alpha1', 'authentication.k8s.io/v1beta1', 'batch/v1beta1', 'policy/v1beta1',
                'discovery.k8s.io/v1beta1')
# Required here by the schema, so that the error has its place among the others; by upstream's code there.
REQUIRED_BY_SCHEMA = (('core/v1.Container', 'image'), ('core/v1.EphemeralContainer', 'image'))
failed = count = 0


def connect():
    context = ssl.create_default_context(cafile=CA)
    context.load_cert_chain(CERT, KEY)
    return http.client.HTTPSConnection(urllib.parse.urlsplit(URL).netloc, context=context, timeout=30)


connection = connect()


def call(method, path, body=None, accept='application/json'):
    headers = {'Accept': accept}
    if body is not None:
        headers['Content-Type'] = 'application/json'
    connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
    reply = connection.getresponse()
    text = reply.read()
    try:
        return reply.status, json.loads(text)
    except ValueError:
        return reply.status, {}


def check(name, problems):
    global count, failed
    count += 1
    failed += bool(problems)
    print('%sok %d - %s' % ('not ' if problems else '', count, name))
    for problem in problems[:60]:
        print('#   ' + problem)


def rows(name):
    with open('%s/%s' % (DATA, name)) as table:
        for line in table:
            if not line.startswith('#'):
                yield line.rstrip('\n').split('\t')


def collection(gv):
    return ('/api/' if gv == 'v1' else '/apis/') + gv


# ---- resources ----

def words(text):
    return sorted(text.split(',')) if text else []


def resources():
    wanted = {}
    for row in rows('resources.tsv'):
        row += [''] * (9 - len(row))
        wanted.setdefault(row[0], {})[row[1]] = row
    served = {'v1'}
    for group in call('GET', '/apis')[1].get('groups', []):
        served |= {v['groupVersion'] for v in group['versions']}
    strange = [gv for gv in sorted(served) if gv not in wanted and gv not in OLD_VERSIONS and gv.split('/')[0] not in OWN_GROUPS]
    check('no group that Kubernetes has not', strange)
    found = {}
    for gv in sorted(wanted):
        problems = []
        have = {r['name']: r for r in call('GET', collection(gv))[1].get('resources', [])}
        for name, row in sorted(wanted[gv].items()):
            r = have.get(name)
            if not r:
                problems.append('%s is missing' % name)
                continue
            if '/' not in name:
                found[(gv, row[2])] = r
            is_ = [r['kind'], 'ns' if r['namespaced'] else 'cluster', sorted(r.get('shortNames', [])), sorted(r.get('categories', [])),
                   sorted(r['verbs'])]
            should = [row[2], row[3], words(row[4]), words(row[5]), words(row[6])]
            gvk = '/'.join(x for x in (r.get('group'), r.get('version')) if x)
            if is_ != should:
                problems.append('%s: is %s, should be %s' % (name, is_, should))
            if row[7] and gvk != row[7]:
                problems.append('%s: speaks of %s, should of %s' % (name, gvk or gv, row[7]))
        problems += ['%s is not known to Kubernetes' % name for name in sorted(set(have) - set(wanted[gv]))]
        check('resources of ' + gv, problems)
    return found


# ---- tables ----

def columns(found):
    wanted = {row[0]: row[1:] for row in rows('columns.tsv')}
    for (gv, kind), r in sorted(found.items()):
        if 'list' not in r['verbs']:
            continue
        code, table = call('GET', '%s/%s' % (collection(gv), r['name']), accept=TABLE)
        have = ['%s:%s%s%s' % (c['name'], c['type'], '/' + c['format'] if c.get('format') else '', '*' if c['priority'] else '')
                for c in table.get('columnDefinitions') or []]
        should = wanted.get(r['name'])
        check('columns of %s of %s' % (r['name'], gv), [] if have == should else ['is', *have, 'should be', *(should or ['in the table'])])


# ---- defaults ----

def leaves(value, path=''):
    if isinstance(value, dict) and value:
        for name, v in value.items():
            yield from leaves(v, '%s.%s' % (path, name) if path else name)
    elif isinstance(value, list) and value:
        for i, v in enumerate(value):
            yield from leaves(v, '%s[%d]' % (path, i))
    else:
        yield path, value


FORMS = {
    '~ip': lambda v: isinstance(v, str) and re.fullmatch(r'\d+(\.\d+){3}', v),
    '~int': lambda v: isinstance(v, int),
    '~time': lambda v: isinstance(v, str) and re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', v),
    '~uid': lambda v: isinstance(v, str) and re.fullmatch(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', v),
}
SERVERS_OWN = ('metadata.uid', 'metadata.creationTimestamp', 'metadata.namespace', 'metadata.resourceVersion')


def defaults_of(found, sent, table):
    r = found.get((sent['apiVersion'], sent['kind']))
    if not r:
        return ['%s is not served' % sent['kind']]
    namespace = '/namespaces/default' if r['namespaced'] else ''
    code, got = call('POST', '%s%s/%s?dryRun=All' % (collection(sent['apiVersion']), namespace, r['name']), sent)
    if code != 201:
        return ['%d %s' % (code, got.get('message'))]
    had, have = dict(leaves(sent)), dict(leaves(got))
    problems = []
    for path, value in table.items():
        is_ = have.pop(path, None)
        if not (FORMS[value](is_) if value in FORMS else is_ == json.loads(value) and type(is_) is type(json.loads(value))):
            problems.append('%s is %s, should be %s' % (path, json.dumps(is_), value))
    for path, value in have.items():
        if path in SERVERS_OWN or path.startswith('metadata.managedFields'):
            continue
        if path not in had:
            problems.append('%s is %s, should not be there' % (path, json.dumps(value)))
        elif had[path] != value:
            problems.append('%s was %s, is %s' % (path, json.dumps(had[path]), json.dumps(value)))
    return problems


def defaults(found):
    objects = []
    for row in rows('defaults.tsv'):
        if row[0] == '=':
            objects.append((json.loads(row[1]), {}))
        else:
            objects[-1][1][row[0]] = row[1]
    for sent, table in objects:
        check('defaults of ' + sent['kind'], defaults_of(found, sent, table))


# ---- OpenAPI ----

PREFIX = {'meta': 'io.k8s.apimachinery.pkg.apis.meta', 'apiextensions': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions'}


def full(definition):
    package, kind = definition.split('.', 1)
    group, version = package.split('/')
    return '%s.%s.%s' % (PREFIX.get(group, 'io.k8s.api.' + group), version, kind)


def reference(schema):
    return (schema.get('$ref') or (schema.get('allOf') or [{}])[0].get('$ref') or '').rsplit('/', 1)[-1]


def type_text(schema, schemas):
    """As the table has it: string, integer:int32, list<string>, core/v1.Pod."""
    name = reference(schema)
    if name:
        target = schemas.get(name, {})
        if name.startswith('io.k8s.apimachinery.pkg.') and 'properties' not in target:
            return name.rsplit('.', 1)[-1]
        return name
    if 'properties' not in schema and schema.get('type') == 'array':
        return 'list<%s>' % type_text(schema['items'], schemas)
    return schema.get('type', 'any') + (':' + schema['format'] if schema.get('format') else '')


def same_type(table, have):
    if '/' in table and not table.startswith('list<'):
        short = table.rsplit('.', 1)[-1]
        if table.startswith('apimachinery') or table in ('meta/v1.Time', 'meta/v1.MicroTime', 'meta/v1.FieldsV1'):
            return have.rsplit('.', 1)[-1] == short
        return have == full(table)
    return have == table


def field_problems(schemas, schema, name, row):
    shape, type_, required, strategy, key, list_type, map_keys = row[2:9]
    s = (schema.get('properties') or {}).get(name)
    if s is None:
        return ['%s is missing' % name]
    problems = []

    def compare(what, is_, should):
        if is_ != should:
            problems.append('%s: %s is %s, should be %s' % (name, what, is_ or 'none', should or 'none'))
    if (row[0], name) not in REQUIRED_BY_SCHEMA:
        compare('required', name in schema.get('required', []), required == 'R')
    compare('patch strategy', s.get('x-kubernetes-patch-strategy', ''), strategy)
    compare('patch merge key', s.get('x-kubernetes-patch-merge-key', ''), key)
    if shape == 'list':
        compare('list type', s.get('x-kubernetes-list-type', ''), list_type)
        compare('list map keys', ','.join(s.get('x-kubernetes-list-map-keys', [])), map_keys)
    inner = s.get('items') if shape == 'list' else s.get('additionalProperties') if shape == 'map' else s
    have = type_text(inner if isinstance(inner, dict) else {}, schemas)
    # "A schema, or something else" is described as the schema.
    if not same_type(type_, have) and not type_.startswith('apiextensions/v1.JSONSchemaPropsOr'):
        problems.append('%s: type is %s, should be %s' % (name, have, type_))
    return problems


def openapi():
    code, root = call('GET', '/openapi/v3')
    schemas, operations = {}, {}
    for gv, entry in root.get('paths', {}).items():
        if gv in ('apis/kubevirt.io/v1', 'apis/hanok.io/v1'):
            continue
        document = call('GET', entry['serverRelativeURL'])[1]
        schemas.update(document.get('components', {}).get('schemas', {}))
    definitions, last = {}, ''
    for row in rows('fields.tsv'):
        row += [''] * (10 - len(row))
        last = row[0] = row[0] or last
        definitions.setdefault(row[0], []).append(row)
    packages = {}
    for definition, fields in definitions.items():
        if fields[0][1] == '-':
            continue  # a scalar with a name
        problems = packages.setdefault(definition.split('.')[0], [])
        schema = schemas.get(full(definition))
        if schema is None:
            problems.append('%s is missing' % definition)
            continue
        for row in fields:
            problems += ['%s.%s' % (definition, p) for p in field_problems(schemas, schema, row[1], row)]
        for name in sorted(set(schema.get('properties') or {}) - {row[1] for row in fields}):
            problems.append('%s.%s is not known to Kubernetes' % (definition, name))
    for package, problems in sorted(packages.items()):
        check('fields of ' + package, problems)


found = resources()
columns(found)
defaults(found)
openapi()
print('1..%d' % count)
sys.exit(failed > 0)
