/* other.c - version and completion. */
#include <stdio.h>

#include "cli/virt/virt.h"

static int version(struct virt *v, struct err *err)
{
	struct json *server;
	printf("Client Version: hanok %s\n", HANOK_VERSION);
	if (virt_has(v, "client"))
		return 0;
	int r = virt_get(v, "/apis/subresources.kubevirt.io/v1/version", &server, err);
	if (r < 0)
		return err_context(err, r, "version of the server");
	printf("Server Version: %s\n", json_text(&v->arena, server));
	return 0;
}

static void words(const char *before, const char *text, const char *after)
{
	struct str rest = str_from(text), part;
	while (str_split(&rest, '|', &part))
		printf("%s" STR_FMT "%s", before, STR_ARG(part), after);
}

/* The shell gets tables of words, and asks `hanok virt list --names` for names. */
static int completion(struct virt *v, struct err *err)
{
	if (!streq(v->args[0], "bash"))
		return virt_misuse(v, err, "completion: bash is the shell that is known");
	printf("# bash completion of hanok virt: source <(hanok virt completion bash)\n"
	       "_hanok_virt() {\n"
	       "\tlocal word=${COMP_WORDS[COMP_CWORD]} first=2 verb words= common i\n"
	       "\t[[ ${COMP_WORDS[0]##*/} == kubectl-virt ]] && first=1\n"
	       "\tif [[ $first = 2 && $COMP_CWORD = 1 ]]; then\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -W 'virt image server node up advise explain "
	       "backup restore kubeconfig version help' -- \"$word\")\n"
	       "\t\treturn\n\tfi\n"
	       "\t[[ $first = 1 || ${COMP_WORDS[1]} = virt ]] || return 0\n"
	       "\tif ((COMP_CWORD == first)); then\n\t\twords='");
	for (const struct virt_subject *s = virt_subjects; s->title; s++)
		for (const struct virt_verb *verb = s->verbs; verb->name; verb++)
			words("", verb->name, " ");
	printf("'\n\telse\n\t\tverb=${COMP_WORDS[first]}\n\t\tcase $verb in\n");
	for (const struct virt_subject *s = virt_subjects; s->title; s++)
		for (const struct virt_verb *verb = s->verbs; verb->name; verb++) {
			printf("\t\t%s) words='", verb->name);
			for (const struct virt_flag *f = verb->flags; f && f->name; f++)
				printf("--%s ", f->name);
			printf("--namespace --kubeconfig --context --help' ;;\n");
		}
	printf("\t\tesac\n"
	       "\t\tif [[ $word != -* ]]; then\n"
	       "\t\t\tcommon=()\n"
	       "\t\t\tfor ((i = first; i < COMP_CWORD; i++)); do\n"
	       "\t\t\t\tcase ${COMP_WORDS[i]} in\n"
	       "\t\t\t\t-n | --namespace | --kubeconfig | --context)\n"
	       "\t\t\t\t\tcommon+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i + 1]}\") ;;\n"
	       "\t\t\t\tesac\n"
	       "\t\t\tdone\n"
	       "\t\t\twords=$(\"${COMP_WORDS[@]:0:first}\" list --names \"${common[@]}\" "
	       "2>/dev/null)\n"
	       "\t\tfi\n"
	       "\tfi\n"
	       "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
	       "}\n"
	       "complete -F _hanok_virt hanok kubectl-virt\n");
	return 0;
}

static const struct virt_flag version_flags[] = {{"client", 'c', NULL, "no server is asked"}, {0}};

const struct virt_verb virt_other_verbs[] = {
	{"version", "", 0, 0, "of this program and of the server", version, version_flags, false},
	{"completion", "bash", 1, 1, "print what bash needs to complete these words", completion,
		NULL, true},
	{0},
};
