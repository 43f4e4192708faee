
BprobabilitiesJ(ñZ~;ÿÖ:éL±:,o›:Ú„;¾$;z„:+°{?l¡ù:|: