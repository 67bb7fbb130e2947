# shellcheck shell=bash
#@@ control | Change at the next start

# It is made once and boots; later cases only look at what libvirt was told, and need not wait for another boot.
later() {
	exists vm/later || machine later
	[ "$(k_field vm/later .status.printableStatus)" != Stopped ] || virt start later
	phase_is vmi/later Running
}

#@ K29 | other processor cores: RestartRequired, and after the restart they are there |
K29() {
	local before
	later
	before=$(uid later)
	virt set later --cores 2
	condition_is vm/later RestartRequired
	domain_xml later | grep -q "<vcpu[^>]*current='1'"
	restarted later "$before"
	domain_xml later | grep -q "<vcpu[^>]*current='2'"
	eventually 30 not condition vm/later RestartRequired
}

#@ K30 | another processor model |
K30() {
	local before
	later
	before=$(uid later)
	virt set later --cpu-model Westmere
	condition_is vm/later RestartRequired
	restarted later "$before"
	domain_xml later | grep -q 'Westmere'
}

#@ K31 | another boot order |
K31() {
	local before
	later
	before=$(uid later)
	virt set later --boot-order default,root
	condition_is vm/later RestartRequired
	restarted later "$before"
	domain_xml later | grep -A12 '<interface ' | grep -q "<boot order='1'"
	virt set later --boot-order root
	restarted later "$(uid later)"
}

#@ K32 | UEFI in place of BIOS | ovmf
K32() {
	DISK=container machine_spec k32 "$(domain '{"machine":{"type":"q35"},"firmware":null}')" "$(inner '{"readinessProbe":null}')" | k apply -f -
	phase_is vmi/k32 Running
	virt set k32 --firmware efi
	condition_is vm/k32 RestartRequired
	restarted k32 "$(uid k32)"
	domain_xml k32 | grep -q 'pflash'
	virt delete k32 --force
}

#@ K33 | another machine type |
K33() {
	local other
	other=$(if [ "$STACK" = A ]; then echo pc; else echo q35; fi)
	DISK=container machine_spec k33 | k apply -f -
	phase_is vmi/k33 Running
	virt set k33 --machine "$other"
	condition_is vm/k33 RestartRequired
	restarted k33 "$(uid k33)"
	domain_xml k33 | grep -q "machine='pc-$(if [ "$STACK" = A ]; then echo i440fx; else echo q35; fi)"
	virt delete k33 --force
}

#@ K34 | a stopped machine is renamed: disk, content and settings stay |
K34() {
	machine later
	mark later renamed
	not virt rename later other
	virt stop later --force
	gone vmi/later
	virt rename later other
	not exists vm/later
	running other
	marked other renamed
	virt stop other --force
	gone vmi/other
	virt rename other later
	exists vm/later
}

#@ K35 | memory beyond what can be plugged: at the next start |
K35() {
	local before
	later
	before=$(uid later)
	virt set later --memory "$(if [ "$STACK" = A ]; then echo 384Mi; else echo 192Mi; fi)"
	condition_is vm/later RestartRequired
	restarted later "$before"
	domain_xml later | grep -q "<memory unit='KiB'>$(if [ "$STACK" = A ]; then echo 393216; else echo 196608; fi)<"
}
