#!/usr/bin/env bash
# Makes the keys and certificates of a control plane. Usage: e2e/cluster/credentials.sh FOLDER NAMES
# NAMES are the API server's, as in a certificate: IP:10.0.0.1,DNS:localhost
set -euo pipefail
folder=${1:?usage: credentials.sh FOLDER NAMES}
names=${2:?usage: credentials.sh FOLDER NAMES}
umask 077

# signed NAME SUBJECT EXTENSIONS
signed() {
    openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout "$folder/$1.key" -out "$folder/$1.csr" 2>/dev/null
    openssl x509 -req -days 36500 -in "$folder/$1.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" \
        -extfile <(echo "$3") -out "$folder/$1.crt" 2>/dev/null
    rm "$folder/$1.csr"
}

openssl genrsa -out "$folder/service-account.key" 2048 2>/dev/null
openssl rsa -in "$folder/service-account.key" -pubout -out "$folder/service-account.pub" 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj /CN=vision-test-cluster \
    -keyout "$folder/ca.key" -out "$folder/ca.crt" 2>/dev/null
signed apiserver /CN=kube-apiserver "subjectAltName=$names"
# What the API server shows kubelets, for logs and exec.
signed apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client "extendedKeyUsage=clientAuth"
